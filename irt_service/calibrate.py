"""Calibrates what is in the warehouse: responses in, a judged and stored run out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from irt_service.days import start_of_day
from irt_service.engines import engine_named
from irt_service.engines.base import (
    Calibration,
    CalibrationSettings,
    Exclusion,
    ItemParameters,
    Progress,
)
from irt_service.errors import InsufficientDataError, IrtServiceError
from irt_service.fitting import Fit, fit
from irt_service.gates import admit, as_json, unmet, without_responses
from irt_service.provenance import (
    describe_settings,
    fingerprint,
    package_version,
    versions,
)
from irt_service.responses import ResponseMatrix
from irt_service.scale import Scale, anchored_scale, first_scale, link_to_run, own_scale, rescale
from irt_service.settings import Settings
from irt_service.store import responses as source
from irt_service.store import runs

_FINGERPRINT_LETTERS = 8


@dataclass(frozen=True)
class Request:
    """What to calibrate.

    Attributes:
        as_of: last local day whose responses take part; None for the last day built.
        is_forced: fit even if nothing has changed since an accepted run.
    """

    settings: CalibrationSettings
    engine: str = "native"
    bank: str = runs.DEFAULT_BANK
    as_of: date | None = None
    lookback_days: int | None = None
    is_forced: bool = False


@dataclass(frozen=True)
class Input:
    """What a calibration works on, before it is fitted."""

    run: runs.RunStart
    responses: ResponseMatrix
    unanswered: tuple[str, ...]
    anchors: Mapping[str, ItemParameters]
    ignored_anchors: tuple[str, ...]
    standing: str | None


@dataclass(frozen=True)
class Result:
    """A calibration, stored or not.

    Attributes:
        equal_run: an accepted run of the same responses and settings, if nothing was fitted.
        reasons: why it was rejected; empty when accepted.
    """

    run: runs.RunStart
    fit: Fit | None = None
    calibration: Calibration | None = None
    scale: Scale | None = None
    excluded: tuple[Exclusion, ...] = ()
    reasons: tuple[str, ...] = ()
    equal_run: str | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether the run may come into force."""
        return not self.reasons


def read_input(connection: Connection, request: Request, settings: Settings) -> Input:
    """Read the responses of the look-back and everything a run is named and compared by.

    Raises:
        InsufficientDataError: the marts are not built or hold no responses.
    """
    source.require_marts(connection)
    bank = source.Bank.parse(request.bank)
    as_of = request.as_of or source.last_built_day(connection)
    if as_of is None:
        raise InsufficientDataError(
            "there are no graded responses", "fct_item_responses", "load results, then dbt build"
        )
    days = request.lookback_days or settings.calibration_lookback_days
    window = _window(as_of, days, settings)
    items = source.read_bank_items(connection, bank, *window)
    responses = source.read_responses(connection, bank, *window, items.answered)
    tagged = source.read_anchors(connection)
    anchors = {item: one for item, one in tagged.items() if one is not None and _is_possible(one)}
    mark = fingerprint(responses)
    model = request.settings.model.value
    start = runs.RunStart(
        run_id=f"{as_of:%Y%m%d}-{model}-{mark[:_FINGERPRINT_LETTERS]}",
        bank=bank.name,
        model=model,
        engine=request.engine,
        engine_version=package_version(),
        settings=describe_settings(request.settings, settings.gates, days, anchors),
        versions=versions() | {"postgresql": _server_version(connection)},
        fingerprint=mark,
        window=window,
    )
    return Input(
        start,
        responses,
        tuple(items.others),
        anchors,
        tuple(sorted(set(tagged) - set(anchors))),
        runs.read_current_run_id(connection),
    )


def find_equal(connection: Connection, given: Input) -> str | None:
    """An accepted run of the same responses with the same settings: the one in force first."""
    equal = runs.find_equal_runs(connection, given.run)
    if not equal:
        return None
    return given.standing if given.standing in equal else equal[0]


def estimate(
    connection: Connection,
    given: Input,
    request: Request,
    settings: Settings,
    progress: Callable[[Progress], None] | None = None,
) -> Result:
    """Fit, judge and put on the standing scale; writes nothing.

    Anchors are fixed when enough of them have responses that the gates admit; else the run is
    linked to the one in force.
    """
    admitted = set(admit(given.responses, settings.gates).responses.item_ids)
    usable = {item: one for item, one in given.anchors.items() if item in admitted}
    is_anchored = len(usable) >= settings.gates.min_anchors
    fit_settings = request.settings
    if is_anchored:
        fit_settings = replace(fit_settings, fixed_items=usable, free_latent=True)
    judged = fit(
        given.responses, fit_settings, settings.gates, engine_named(request.engine), progress
    )
    excluded = judged.excluded + without_responses(given.unanswered)
    reasons = list(unmet(judged.verdicts))
    if judged.calibration is None or reasons:
        return Result(given.run, judged, None, None, excluded, tuple(reasons))
    if is_anchored:
        scale = anchored_scale(len(usable))
    elif request.bank != runs.DEFAULT_BANK:
        scale = own_scale()
    elif given.standing is None:
        scale = first_scale()
    else:
        standing = runs.read_scoring_run(connection, given.standing)
        scale = link_to_run(judged.calibration, standing, settings.gates)
    return Result(given.run, judged, rescale(judged.calibration, scale), scale, excluded, ())


def calibrate(
    engine: Engine,
    request: Request,
    settings: Settings,
    progress: Callable[[Progress], None] | None = None,
    said: Callable[[str], None] = lambda _: None,
) -> Result:
    """Calibrate and store the run; for who holds the calibration lock.

    The run is on record as running before it is fitted, and with its result, parameters and
    exclusions after one transaction at the end: killed in between, it holds nothing, and the
    next start marks it failed.

    Raises:
        IrtServiceError: there is nothing to calibrate, or the data identify no model.
    """
    with engine.begin() as connection:
        for run_id in runs.fail_interrupted_runs(connection):
            said(f"run {run_id} was interrupted and is marked failed")
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        given = read_input(connection, request, settings)
        equal = None if request.is_forced else find_equal(connection, given)
        if equal is not None:
            return Result(given.run, equal_run=equal)
        said(describe_input(given))
    with engine.begin() as connection:
        run_id = runs.free_run_id(connection, given.run.run_id)
        given = replace(given, run=replace(given.run, run_id=run_id))
        runs.start_run(connection, given.run)
    try:
        with engine.connect() as connection:
            result = estimate(connection, given, request, settings, progress)
        with engine.begin() as connection:
            store(connection, result, given)
    except BaseException as error:
        with engine.begin() as connection:
            runs.end_run(connection, run_id, runs.RunEnd("failed", [_describe(error)]))
        raise
    return result


def store(connection: Connection, result: Result, given: Input) -> None:
    """Write a judged run with everything that belongs to it."""
    judged, fitted = result.fit, result.calibration
    run_id = given.run.run_id
    attempt = fitted if fitted is not None else judged.calibration if judged else None
    if fitted is not None:
        runs.write_items(connection, run_id, given.run.model, fitted)
    runs.write_exclusions(connection, run_id, result.excluded)
    end = runs.RunEnd(
        "accepted" if result.is_accepted else "rejected",
        result.reasons,
        metrics=_metrics(judged, attempt, given),
        model_spec={"model": given.run.model},
        linking=None if result.scale is None else result.scale.as_json(),
    )
    if attempt is not None:
        end = _with_numbers(end, attempt)
    runs.end_run(connection, run_id, end)


def _with_numbers(end: runs.RunEnd, attempt: Calibration) -> runs.RunEnd:
    """Add what only a run that was fitted has."""
    counts = {"n_persons": attempt.n_persons, "n_items": len(attempt.item_ids)}
    return replace(
        end,
        model_spec={**end.model_spec, **counts},
        n_persons=attempt.n_persons,
        n_items=len(attempt.item_ids),
        n_responses=attempt.n_observations,
        log_likelihood=_finite(attempt.log_likelihood),
        is_converged=bool(attempt.is_converged),
        iterations=attempt.iterations,
        prior_mean=attempt.prior_mean,
        prior_sd=attempt.prior_sd,
    )


def _metrics(judged: Fit | None, attempt: Calibration | None, given: Input) -> dict[str, object]:
    metrics: dict[str, object] = {
        "responses_read": given.responses.n_responses,
        "students_read": given.responses.n_persons,
        "items_read": given.responses.n_items,
        "ignored_anchors": list(given.ignored_anchors),
    }
    if judged is not None:
        metrics |= {
            "gates": as_json(judged.verdicts),
            "rounds": judged.rounds,
            "students_left_out": judged.admission.students_left_out,
        }
    if attempt is not None:
        metrics |= {
            "log_likelihood_path": [_finite(value) for value in attempt.log_likelihood_path],
            "log_prior": _finite(attempt.log_prior),
            "largest_change": _finite(attempt.largest_change),
            "standard_errors": attempt.information,
            "engine_version": attempt.engine_version,
            "warnings": list(attempt.warnings),
            "fixed_items": int(attempt.is_fixed.sum()),
            "seconds_in_engine": round(attempt.wall_seconds, 3),
        }
    return metrics


def describe_input(given: Input) -> str:
    """The responses in one line."""
    start, end = given.run.window
    responses = given.responses
    return (
        f"{responses.n_responses:,} responses of {responses.n_persons:,} students to "
        f"{responses.n_items:,} items, {start:%Y-%m-%d} to {end:%Y-%m-%d} (UTC)"
    )


def _window(as_of: date, days: int, settings: Settings) -> tuple[datetime, datetime]:
    """The look-back: `days` whole local days that end with `as_of`."""
    zone = settings.reporting_timezone
    return (
        start_of_day(as_of - timedelta(days=days - 1), zone),
        start_of_day(as_of + timedelta(days=1), zone),
    )


def _is_possible(anchor: ItemParameters) -> bool:
    values = (anchor.discrimination, anchor.difficulty, anchor.guessing)
    return (
        all(math.isfinite(value) for value in values)
        and anchor.discrimination > 0
        and 0 <= anchor.guessing < 1
    )


def _server_version(connection: Connection) -> str:
    return str(connection.execute(sa.text("show server_version")).scalar_one())


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _describe(error: BaseException) -> str:
    if isinstance(error, IrtServiceError):
        return str(error)
    return f"{type(error).__name__}: {error}".rstrip(": ")
