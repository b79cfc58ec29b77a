"""The commands `calibrate` and `baseline`."""

from __future__ import annotations

import argparse
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Engine

from irt_service import summaries
from irt_service.anchoring import FIXED, LINKINGS
from irt_service.calibrate import Request, calibrate, describe_input, estimate, read_input
from irt_service.commands import DONE, FAILED, open_warehouse, positive, show
from irt_service.days import local_day
from irt_service.engines import engine_named
from irt_service.engines.base import (
    BetaPrior,
    CalibrationSettings,
    LogNormalPrior,
    Model,
    NormalPrior,
)
from irt_service.errors import InvalidSettingsError, IrtServiceError
from irt_service.files import FileRequest, calibrate_files
from irt_service.options import NotAnswered, discrimination_prior, guessing_prior
from irt_service.progress import FitProgress, ReplayProgress, Screen
from irt_service.publish import publish
from irt_service.reading import read_anchors
from irt_service.scorer import Scorer
from irt_service.settings import read_settings
from irt_service.store import diagnostics as findings
from irt_service.store import publications, runs
from warehouse.errors import UsageError
from warehouse.ledger import step
from warehouse.locks import CALIBRATION_LOCK


def add(commands: Any) -> None:
    """Add the commands to the subparsers of argparse."""
    one = commands.add_parser("calibrate", help="calibrate the item bank and publish the run")
    one.set_defaults(command=_calibrate)
    one.add_argument("--model", default=Model.TWO_PL.value, choices=[m.value for m in Model])
    one.add_argument("--engine", default="native", help="native (default) or mirt (needs R)")
    one.add_argument(
        "--guessing-prior",
        default=BetaPrior(),
        type=_guessing_prior,
        help="of c in a 3PL: beta:5,17 (default) or normal:-1.1,0.5 (of logit c)",
    )
    one.add_argument(
        "--discrimination-prior",
        type=_discrimination_prior,
        help="of a: none (default) or lognormal:0,0.5 (mean and SD of log a)",
    )
    one.add_argument(
        "--not-answered",
        type=NotAnswered,
        choices=list(NotAnswered),
        metavar="HOW",
        help="questions shown and not answered: missing (default, MIRT_NOT_ANSWERED) or wrong",
    )
    one.add_argument("--bank", default="all", help="all (default), topic:ID, exam:ID or org:ID")
    one.add_argument("--lookback-days", type=positive, help="responses of so many days (180)")
    one.add_argument("--as-of", type=_day, help="last local day that takes part, YYYY-MM-DD")
    one.add_argument("--dry-run", action="store_true", help="fit and judge, write nothing")
    one.add_argument("--no-publish", action="store_true", help="store the run, change nothing else")
    one.add_argument("--force", action="store_true", help="fit even if nothing has changed")
    one.add_argument("--threads", type=int, default=0, help="0 (default) for every core")
    one.add_argument("--responses", type=Path, help="a CSV or Parquet file instead of a database")
    one.add_argument("--out", type=Path, help="with --responses: folder for the results")
    one.add_argument(
        "--anchors", type=Path, help="with --responses: item parameters that fix the scale"
    )
    one.add_argument(
        "--linking", default=FIXED, choices=LINKINGS, help="how anchors fix the scale (fixed)"
    )
    one.add_argument(
        "--no-diagnostics", action="store_true", help="leave item fit, DIF and drift out"
    )

    one = commands.add_parser("baseline", help="measure drift against a run from now on")
    one.set_defaults(command=_pin_baseline)
    one.add_argument("run", metavar="RUN")


def _guessing_prior(text: str) -> BetaPrior | NormalPrior:
    try:
        return guessing_prior(text)
    except InvalidSettingsError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _discrimination_prior(text: str) -> LogNormalPrior | None:
    try:
        return discrimination_prior(text)
    except InvalidSettingsError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("use YYYY-MM-DD") from error


def _calibrate(options: argparse.Namespace) -> int:
    try:
        settings = CalibrationSettings(
            model=Model(options.model),
            threads=options.threads,
            guessing_prior=options.guessing_prior,
            discrimination_prior=options.discrimination_prior,
        )
        engine_named(options.engine)
    except InvalidSettingsError as error:
        raise UsageError(str(error)) from error
    screen = Screen()
    if options.responses is not None:
        return _calibrate_files(options, settings, screen)
    for name in ("out", "anchors"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name} goes with --responses")
    engine, service = open_warehouse()
    request = Request(
        settings,
        options.engine,
        options.bank,
        options.as_of,
        options.lookback_days,
        options.linking,
        options.not_answered,
        has_diagnostics=not options.no_diagnostics,
        is_forced=options.force,
    )
    progress = FitProgress(screen, settings.tolerance)
    if options.dry_run:
        with engine.connect().execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        ) as connection:
            given = read_input(connection, request, service)
            screen.say(describe_input(given))
            result = estimate(connection, given, request, service, progress, screen.say)
        show(summaries.calibration(result, stored=False))
        return DONE if result.is_accepted else FAILED
    with step(engine, "irt-calibrate", lock=CALIBRATION_LOCK, as_of_date=options.as_of) as ledger:
        result = calibrate(engine, request, service, progress, screen.say)
        run_id = result.equal_run or result.run.run_id
        # Without --as-of it is the last day built.
        _, end = result.run.window
        ledger.as_of_date = local_day(end, service.reporting_timezone) - timedelta(days=1)
        ledger.details |= {"run_id": run_id, "bank": options.bank}
        ledger.row_count = 0
        if result.calibration is not None:
            ledger.row_count = len(result.calibration.item_ids)
            ledger.versions["engine"] = (
                f"{result.calibration.engine} {result.calibration.engine_version}"
            )
        if not result.is_accepted:
            show(summaries.calibration(result))
            raise IrtServiceError(
                f"run {run_id} was rejected and does not come into force",
                "; ".join(result.reasons),
                "the run in force stays; see docs/psychometrics.md on each gate",
            )
        is_to_publish = options.bank == runs.DEFAULT_BANK and not options.no_publish
        outcome = None
        if is_to_publish and not _was_rolled_back(engine, result.equal_run):
            outcome = publish(engine, Scorer(service), run_id, ReplayProgress(screen))
        show(summaries.calibration(result, outcome=outcome))
    return DONE


def _was_rolled_back(engine: Engine, run_id: str | None) -> bool:
    """Whether somebody took this run back; then only somebody brings it back."""
    with engine.connect() as connection:
        return run_id is not None and publications.is_revoked(connection, run_id)


def _calibrate_files(
    options: argparse.Namespace, settings: CalibrationSettings, screen: Screen
) -> int:
    if options.out is None:
        raise UsageError("--responses needs --out, the folder for the results")
    for name, given in (
        ("bank", options.bank != runs.DEFAULT_BANK),
        ("as-of", options.as_of),
        ("lookback-days", options.lookback_days),
        ("dry-run", options.dry_run),
        ("no-publish", options.no_publish),
        ("force", options.force),
    ):
        if given:
            raise UsageError(f"--{name} is for the warehouse and does not go with --responses")
    if options.anchors is None and options.linking != FIXED:
        raise UsageError("--linking needs --anchors, the items that both scales hold")
    service = read_settings()
    anchors = {} if options.anchors is None else read_anchors(options.anchors)
    done = calibrate_files(
        options.responses,
        options.out,
        FileRequest(
            settings,
            service.gates,
            anchors,
            options.linking,
            options.not_answered or service.not_answered,
            has_diagnostics=not options.no_diagnostics,
        ),
        engine_named(options.engine),
        FitProgress(screen, settings.tolerance),
        screen.say,
    )
    show(summaries.files(done))
    return DONE if done.is_accepted else FAILED


def _pin_baseline(options: argparse.Namespace) -> int:
    engine, _ = open_warehouse()
    with engine.begin() as connection:
        bank = findings.pin_baseline(connection, options.run)
    show(f"Drift of bank {bank} is measured against run {options.run} from the next run on.")
    return DONE
