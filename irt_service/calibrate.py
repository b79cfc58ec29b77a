"""Calibrates what is in the warehouse: responses in, a judged and stored run out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from irt_service import run_record
from irt_service.anchoring import FIXED, fit_on_anchors, usable_anchors
from irt_service.days import start_of_day
from irt_service.diagnose import diagnose
from irt_service.engines import engine_named
from irt_service.engines.base import Calibration, CalibrationSettings, ItemParameters, Progress
from irt_service.errors import InsufficientDataError, IrtServiceError
from irt_service.fitting import fit
from irt_service.gates import admit, unmet, without_responses
from irt_service.options import NotAnswered
from irt_service.provenance import (
    describe_anchors,
    describe_engine_settings,
    fingerprint,
    package_version,
    versions,
)
from irt_service.run_record import Input, Result
from irt_service.scale import Scale, first_scale, link_to_run, own_scale, rescale
from irt_service.settings import GateSettings, Settings
from irt_service.store import diagnostics as findings
from irt_service.store import responses as source
from irt_service.store import runs

_FINGERPRINT_LETTERS = 8


@dataclass(frozen=True)
class Request:
    """What to calibrate.

    Attributes:
        as_of: last local day whose responses take part; None for the last day built.
        linking: how tagged anchors fix the scale, one of anchoring.LINKINGS.
        not_answered: what a question shown and not answered counts as; None for the setting.
        has_diagnostics: compute and store item fit, DIF, drift and the rest.
        is_forced: fit even if nothing has changed since an accepted run.
    """

    settings: CalibrationSettings
    engine: str = "native"
    bank: str = runs.DEFAULT_BANK
    as_of: date | None = None
    lookback_days: int | None = None
    linking: str = FIXED
    not_answered: NotAnswered | None = None
    has_diagnostics: bool = True
    is_forced: bool = False


def read_input(connection: Connection, request: Request, settings: Settings) -> Input:
    """Read the responses of the look-back and everything a run is named and compared by.

    Raises:
        InsufficientDataError: the marts are not built or hold no responses.
    """
    source.require_marts(connection)
    not_answered = request.not_answered or settings.not_answered
    bank = source.Bank.parse(request.bank, not_answered).without_erased(connection)
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
        settings={
            "engine": describe_engine_settings(request.settings),
            "gates": asdict(settings.gates),
            "lookback_days": days,
            "not_answered": not_answered.value,
            "anchors": describe_anchors(anchors),
            "linking": request.linking,
            "has_diagnostics": request.has_diagnostics,
        },
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
    said: Callable[[str], None] = lambda _: None,
) -> Result:
    """Fit, judge, put on the standing scale and diagnose; writes nothing.

    Anchors hold the scale when enough of them have responses that the gates admit; else the
    run is linked to the one in force.
    """
    gates = settings.gates
    engine = engine_named(request.engine)
    admission = admit(given.responses, gates)
    is_anchored = len(usable_anchors(admission, given.anchors)) >= gates.min_anchors
    scale: Scale | None = None
    if is_anchored:
        judged, scale = fit_on_anchors(
            admission, request.settings, gates, engine, given.anchors, request.linking, progress,
            said,
        )  # fmt: skip
    else:
        judged = fit(given.responses, request.settings, gates, engine, progress, admission)
    excluded = judged.excluded + without_responses(given.unanswered)
    reasons = tuple(unmet(judged.verdicts))
    if judged.calibration is None or reasons:
        return Result(given.run, judged, excluded=excluded, reasons=reasons)
    if scale is None:
        scale = _standing_scale(connection, judged.calibration, given, request, gates)
    calibration = rescale(judged.calibration, scale)
    diagnosis = None
    if request.has_diagnostics:
        diagnosis = diagnose(
            admission.responses,
            calibration,
            request.settings,
            gates,
            findings.read_groupings(connection),
            findings.read_comparisons(connection, given.run),
            said,
        )
    return Result(given.run, judged, calibration, scale, diagnosis, excluded)


def _standing_scale(
    connection: Connection,
    calibration: Calibration,
    given: Input,
    request: Request,
    gates: GateSettings,
) -> Scale:
    if request.bank != runs.DEFAULT_BANK:
        return own_scale()
    if given.standing is None:
        return first_scale()
    standing = runs.read_scoring_run(connection, given.standing)
    return link_to_run(calibration, standing, gates)


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
            result = estimate(connection, given, request, settings, progress, said)
        with engine.begin() as connection:
            run_record.write(connection, result, given)
    except BaseException as error:
        with engine.begin() as connection:
            runs.end_run(connection, run_id, runs.RunEnd("failed", [_describe(error)]))
        raise
    return result


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


def _describe(error: BaseException) -> str:
    if isinstance(error, IrtServiceError):
        return str(error)
    return f"{type(error).__name__}: {error}".rstrip(": ")
