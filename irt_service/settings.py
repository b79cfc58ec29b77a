"""Settings of the IRT service, read once from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from irt_service.errors import InvalidSettingsError
from irt_service.options import NotAnswered
from irt_service.store.backlog import MAX_TRIES


@dataclass(frozen=True)
class GateSettings:
    """What a calibration's input and its result have to meet.

    Attributes:
        min_responses_per_item: items with fewer first attempts are set aside.
        min_responses_per_student: students with fewer responses to the items kept are left out.
        discrimination_range: plausible a; an item outside is set aside and the rest refitted.
        max_difficulty: plausible |b| on the run's own scale. The default is the edge of the
            quadrature grid: beyond it no student supports the estimate.
        max_set_aside_share: a run is rejected when more than this share of the items admitted
            turns out implausible; then the model is wrong, not the items.
        min_anchors: anchors (or common items of a link) that must be kept.
    """

    min_responses_per_item: int = 100
    min_responses_per_student: int = 5
    discrimination_range: tuple[float, float] = (0.1, 6.0)
    max_difficulty: float = 6.0
    max_set_aside_share: float = 0.2
    min_anchors: int = 5


@dataclass(frozen=True)
class Settings:
    """How sessions are scored and runs are judged.

    Attributes:
        reporting_timezone: the zone of calendar days, as in dbt's variable of that name.
        calibration_lookback_days: a calibration takes responses of this many days.
        ability_lookback_days: an ability rests on responses of this many days, and is not
            used once it is older.
        topic_min_responses: fewest responses for a topic's own ability.
        topic_prior_sd: SD of the prior of a topic's ability around the overall one.
        max_tries: a delivery that fails this often is parked.
        not_answered: what a question counts as in a calibration that a student was shown and
            did not answer; scoring always leaves it out.
    """

    reporting_timezone: ZoneInfo = field(default_factory=lambda: ZoneInfo("Asia/Seoul"))
    calibration_lookback_days: int = 180
    ability_lookback_days: int = 90
    topic_min_responses: int = 5
    topic_prior_sd: float = 0.5
    max_tries: int = MAX_TRIES
    not_answered: NotAnswered = NotAnswered.MISSING
    gates: GateSettings = field(default_factory=GateSettings)


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings: REPORTING_TIMEZONE, and those of a calibration.

    These are MIRT_LOOKBACK_DAYS, MIRT_MIN_RESPONSES_PER_ITEM, MIRT_MIN_RESPONSES_PER_STUDENT,
    MIRT_MIN_ANCHORS and MIRT_NOT_ANSWERED.

    Raises:
        InvalidSettingsError: a value that is no time zone, no positive whole number, or
            neither missing nor wrong.
    """
    values = os.environ if environment is None else environment
    name = values.get("REPORTING_TIMEZONE", "").strip() or "Asia/Seoul"
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidSettingsError(
            "no such time zone", f"REPORTING_TIMEZONE={name!r}", "use a name such as Asia/Seoul"
        ) from error
    defaults = Settings()
    gates = GateSettings(
        min_responses_per_item=_positive(
            values, "MIRT_MIN_RESPONSES_PER_ITEM", defaults.gates.min_responses_per_item
        ),
        min_responses_per_student=_positive(
            values, "MIRT_MIN_RESPONSES_PER_STUDENT", defaults.gates.min_responses_per_student
        ),
        min_anchors=_positive(values, "MIRT_MIN_ANCHORS", defaults.gates.min_anchors),
    )
    return Settings(
        reporting_timezone=zone,
        calibration_lookback_days=_positive(
            values, "MIRT_LOOKBACK_DAYS", defaults.calibration_lookback_days
        ),
        gates=gates,
        not_answered=_not_answered(values),
    )


def _not_answered(values: Mapping[str, str]) -> NotAnswered:
    text = values.get("MIRT_NOT_ANSWERED", "").strip() or NotAnswered.MISSING.value
    try:
        return NotAnswered(text)
    except ValueError as error:
        raise InvalidSettingsError(
            "no such treatment of questions not answered",
            f"MIRT_NOT_ANSWERED={text!r}",
            "use missing or wrong",
        ) from error


def _positive(values: Mapping[str, str], name: str, default: int) -> int:
    text = values.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise InvalidSettingsError(
            "a positive whole number is needed", f"{name}={text!r}", f"{default} is the default"
        )
    return int(text)
