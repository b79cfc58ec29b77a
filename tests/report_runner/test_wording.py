"""What a report's facts become in words, where a rule decides."""

from typing import Any

import pytest

from report_runner.catalogue import language
from report_runner.sections import build_report
from report_runner.views import WeeklyReportText
from report_runner.wording import say
from tests.report_runner.records import THIS_WEEK, bank, goal_row, record, week_row


def _say(code: str = "ko", **values: Any) -> WeeklyReportText:
    return say(build_report(record(**values), THIS_WEEK, bank()), language(code))


@pytest.mark.parametrize(
    ("probability", "shown", "words"),
    [
        (0.0, "1% 미만", "아직 거리가"),
        (0.005, "1%", "아직 거리가"),
        (0.15, "15%", "손이 닿는 거리"),
        (0.4, "40%", "절반쯤"),
        (0.65, "65%", "가능성이 높습니다"),
        (0.95, "95%", "이르렀다고 볼 수 있습니다"),
        (0.9999, "99% 이상", "이르렀다고 볼 수 있습니다"),
    ],
)
def test_a_goals_probability_is_said_in_words_and_never_as_certain(
    probability: float, shown: str, words: str
) -> None:
    (goal,) = _say(goals=[goal_row(probability=probability)]).goals
    assert goal.shown == shown
    assert words in goal.words
    assert bool(goal.gap) == (probability < 0.5)


def test_a_faster_pace_is_told_in_seconds_and_a_slower_one_is_not() -> None:
    detail = {"median_time_recent_ms": 45_000.0, "median_time_previous_ms": 60_000.0}
    faster = _say(detail=detail).kpis[1]
    slower = _say(detail=detail, weeks=[week_row(time_efficiency=0.0)]).kpis[1]
    assert (faster.shown, slower.shown) == ("25% 단축", "0%")
    assert faster.words.startswith("한 문항에 60초 걸리던 것이 45초가 되었습니다.")
    assert "초" not in slower.words


def test_the_change_is_the_difference_of_the_scores_as_shown() -> None:
    weeks = [week_row(theta=0.004), week_row(theta=0.246)]
    weeks[0]["week_start"] = weeks[0]["week_start"].replace(month=5, day=11)
    score = _say("en", weeks=weeks).score
    assert score is not None
    assert score.shown == "525"
    assert score.change == "That is 25 points more than 4 weeks ago."


def test_a_report_without_a_goal_of_ones_own_says_what_it_compares_with() -> None:
    report = _say()
    assert not report.has_own_goals
    assert [goal.target for goal in report.goals] == ["목표 500점"]
