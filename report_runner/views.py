"""What templates see: plain text, and `Chart`s that this package made."""

from collections.abc import Mapping
from dataclasses import dataclass

from report_runner.charts import Chart


@dataclass(frozen=True)
class Value:
    """A number as it is shown, as the marts hold it, and what stands beside it."""

    name: str
    shown: str
    raw: str
    before: str = ""
    words: str = ""
    meaning: str = ""


@dataclass(frozen=True)
class ScoreText:
    """The ability in words, with its trend."""

    shown: str
    raw: str
    range: str
    change: str
    chart: Chart | None


@dataclass(frozen=True)
class TopicText:
    """One topic that stands out."""

    name: str
    rate: str


@dataclass(frozen=True)
class PracticeText:
    """One topic to practise and its items."""

    name: str
    reason: str
    items: tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class GoalText:
    """One goal in words."""

    name: str
    target: str
    due: str
    shown: str
    raw: str
    words: str
    gap: str


@dataclass(frozen=True)
class WeeklyReportText:
    """Everything a template of the weekly report can show."""

    document_title: str
    student: str
    group: str
    period: str
    running: str
    headline: str
    lead: tuple[str, ...]
    activity: tuple[Value, ...]
    score: ScoreText | None
    kpis: tuple[Value, ...]
    missing_kpis: str
    topic_chart: Chart | None
    strong_topics: tuple[TopicText, ...]
    weak_topics: tuple[TopicText, ...]
    practice: tuple[PracticeText, ...]
    goals: tuple[GoalText, ...]
    has_own_goals: bool
    more_goals: str
    short: tuple[str, ...]
    as_of: str
