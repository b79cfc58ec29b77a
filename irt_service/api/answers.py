"""What the service answers, for its OpenAPI description and its client's reader."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

_THETA = Field(examples=[0.086935], description="EAP of the ability")
_SE = Field(examples=[0.763518], description="Posterior standard deviation")


class Health(BaseModel):
    """Alive."""

    status: Literal["ok"]
    service: Literal["irt"]


class Readiness(BaseModel):
    """Ready for work that needs the database."""

    status: Literal["ready"]
    run_id: str = Field(description="The run in force")


class OneScore(BaseModel):
    """The ability of one student; `se` and `standard_error` are the same."""

    status: Literal["ok"]
    theta: float = _THETA
    se: float = _SE
    standard_error: float = _SE


class Score(BaseModel):
    """The ability of a row."""

    theta: float = _THETA
    se: float = _SE


class ManyScores(BaseModel):
    """An ability per row of answers, in their order."""

    status: Literal["ok"]
    abilities: list[Score]


class ModelSpec(BaseModel):
    """What was fitted to how much."""

    model: str
    n_persons: int
    n_items: int


class LinkingConstants(BaseModel):
    """theta on the anchors' scale = A theta of a standard normal population + B."""

    A: float
    B: float
    n_anchors_used: int


class ExcludedItem(BaseModel):
    """An item without an estimate."""

    item_id: str
    reason: str


class Prior(BaseModel):
    """Normal prior of theta."""

    mean: float
    sd: float


class FitMeta(BaseModel):
    """How it was calibrated."""

    run_id: str
    model_spec: ModelSpec
    linking_constants: LinkingConstants | None
    log_likelihood: float | None
    iterations: int
    prior: Prior
    excluded_items: list[ExcludedItem]
    warnings: list[str]


class ItemParams(BaseModel):
    """Parameters of an item."""

    item_id: str
    params: dict[Literal["a", "b", "c"], float]


class NamedScore(Score):
    """The ability of a student."""

    user_id: str | None = Field(None, description="Absent for rows of a matrix")


class Calibrated(BaseModel):
    """A calibration of the data that the request brought; nothing of it is kept."""

    status: Literal["ok"]
    fit_meta: FitMeta
    item_params: list[ItemParams]
    abilities: list[NamedScore]


class Accepted(BaseModel):
    """Under way: ask again at `poll`."""

    status: Literal["running"]
    run_id: str
    poll: str = Field(examples=["/v1/runs/fit-20261122T031000-3f9ac1d2e4b5"])


class SessionAbility(BaseModel):
    """What came of a session that was dealt with; theta is null when there was nothing to score."""

    status: Literal["scored", "nothing_to_score"]
    session_id: str
    student_id: str | None
    theta: float | None = _THETA
    standard_error: float | None = _SE
    n_responses: int | None
    run_id: str | None
    effective_at: datetime | None
    reason: str | None


class Queued(BaseModel):
    """The session is going to be scored; nothing else has to be done for it."""

    status: Literal["queued"]
    session_id: str


class Ability(BaseModel):
    """An ability after a session."""

    theta: float = _THETA
    standard_error: float = _SE
    n_responses: int
    run_id: str
    session_id: str
    effective_at: datetime
    fitted_at: datetime


class TopicAbility(BaseModel):
    """The latest ability in a topic."""

    topic_id: str
    theta: float
    standard_error: float
    n_responses: int
    effective_at: datetime


class StudentAbility(Ability):
    """A student's ability under the run in force."""

    student_id: str
    topics: list[TopicAbility]


class AbilityHistory(BaseModel):
    """A student's abilities under one run, the latest first."""

    student_id: str
    abilities: list[Ability]
    next_before: datetime | None = Field(description="`before` of the next page; null on the last")


class RunSummary(BaseModel):
    """A calibration run."""

    run_id: str
    bank: str
    model: str
    engine: str
    engine_version: str | None
    status: Literal["running", "accepted", "rejected", "failed"]
    reasons: list[str]
    n_persons: int | None
    n_items: int | None
    n_responses: int | None
    log_likelihood: float | None
    is_converged: bool | None
    iterations: int | None
    prior_mean: float | None
    prior_sd: float | None
    window_start: datetime | None
    window_end: datetime | None
    started_at: datetime | None
    fitted_at: datetime | None
    duration_seconds: float | None
    in_force_from: date | None
    is_in_force: bool
    is_being_published: bool


class Runs(BaseModel):
    """Runs, the latest first."""

    runs: list[RunSummary]
    next_before: datetime | None


class RunDetails(RunSummary):
    """A run with what was measured of it."""

    model_spec: dict[str, Any] | None
    linking: dict[str, Any] | None
    metrics: dict[str, Any] | None
    versions: dict[str, Any] | None


class RequestedRun(BaseModel):
    """A calibration that a client asked for and polls; `result` is there for a day."""

    run_id: str
    status: Literal["running", "succeeded", "failed"]
    started_at: datetime
    ended_at: datetime | None
    error: str | None
    detail: str | None
    result: Calibrated | None


class Item(BaseModel):
    """An item's parameters under a run."""

    item_id: str
    params: dict[Literal["a", "b", "c"], float | None]
    standard_errors: dict[Literal["a", "b", "c"], float | None]
    n_responses: int | None
    flags: list[str]


class Items(BaseModel):
    """Items in the order of their ids."""

    run_id: str
    items: list[Item]
    next_after: str | None = Field(description="`after` of the next page; null on the last")


class Published(BaseModel):
    """A run in force."""

    status: Literal["published"]
    run_id: str
    has_changed: bool = Field(description="false when it was in force already")
    in_force_from: date


class ReportLink(BaseModel):
    """Where a stored report is to be had for a short time."""

    format: str = Field(examples=["html"])
    language: str | None
    url: str
    expires_at: datetime
    size_bytes: int
    sha256: str
    created_at: datetime


class Reports(BaseModel):
    """A student's reports of a week."""

    student_id: str
    week_start: date
    reports: list[ReportLink]
