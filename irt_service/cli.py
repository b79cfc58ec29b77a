"""The commands of the IRT service; results go to stdout, progress and logs to stderr."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from irt_service import summaries
from irt_service.anchoring import FIXED, LINKINGS
from irt_service.api import commands as http
from irt_service.calibrate import Request, calibrate, describe_input, estimate, read_input
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
from irt_service.publish import SCORING_LOCK, publish, roll_back
from irt_service.reading import read_anchors
from irt_service.replay import replay
from irt_service.scorer import Scorer
from irt_service.settings import Settings, read_settings
from irt_service.store import deliveries, marts, publications, runs, trigger
from irt_service.store import diagnostics as findings
from irt_service.worker import POLL_SECONDS, Worker
from warehouse.database import create_engine
from warehouse.errors import UsageError, WarehouseError
from warehouse.ledger import step
from warehouse.schema import require_current

CALIBRATION_LOCK = "irt-calibrate"
DONE, FAILED, WRONG_USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    options = _parser().parse_args(arguments)
    _log_to_stderr()
    try:
        code: int = options.command(options)
    except UsageError as error:
        return _complain(error, WRONG_USAGE)
    except (IrtServiceError, WarehouseError) as error:
        return _complain(error, FAILED)
    except DBAPIError as error:
        return _complain(summaries.describe_database_error(error), FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted", 128 + signal.SIGINT)
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing can be written any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code


def _complain(error: object, code: int) -> int:
    sys.stderr.write(f"error: {error}\n")
    return code


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _log_to_stderr() -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # Asked for at each message: whoever replaces sys.stderr gets them.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m irt_service", description="Item response theory: calibrate and score."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

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
    one.add_argument("--lookback-days", type=_positive, help="responses of so many days (180)")
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

    one = commands.add_parser("score", help="score the sessions that the marts hold")
    one.set_defaults(command=_score)
    one.add_argument(
        "--history", action="store_true", help="every session again, not only what has changed"
    )

    one = commands.add_parser("worker", help="score sessions as they are delivered")
    one.set_defaults(command=_work)
    one.add_argument("--once", action="store_true", help="end when nothing is left to do")
    one.add_argument(
        "--poll-seconds",
        type=_seconds,
        default=POLL_SECONDS,
        help=f"pause between looks ({POLL_SECONDS})",
    )
    one.add_argument(
        "--retry-parked", action="store_true", help="try deliveries again that were given up"
    )

    one = commands.add_parser(
        "trigger", help="have the exam application's results tell workers of themselves"
    )
    one.set_defaults(command=_set_trigger)
    one.add_argument("action", choices=["install", "remove"])

    one = commands.add_parser("runs", help="list calibration runs and parked deliveries")
    one.set_defaults(command=_list_runs)
    one.add_argument("--limit", type=_positive, default=20, help="so many, the latest (20)")

    one = commands.add_parser("baseline", help="measure drift against a run from now on")
    one.set_defaults(command=_pin_baseline)
    one.add_argument("run", metavar="RUN")

    one = commands.add_parser("publish", help="put a run in force, or return to the one before")
    one.set_defaults(command=_publish)
    one.add_argument("run", nargs="?", metavar="RUN")
    one.add_argument("--roll-back", action="store_true", help="revoke the latest publication")

    http.add_commands(commands)
    return parser


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


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("use YYYY-MM-DD") from error


def _open() -> tuple[Engine, Settings]:
    """The database, checked, and the settings with the zone that the marts were built in.

    Raises:
        InvalidSettingsError: REPORTING_TIMEZONE is set and is not the marts' zone.
    """
    engine = create_engine()
    require_current(engine)
    settings = read_settings()
    with engine.connect() as connection:
        built = publications.read_build_timezone(connection)
    if built is None or built == settings.reporting_timezone.key:
        return engine, settings
    if os.environ.get("REPORTING_TIMEZONE", "").strip():
        raise InvalidSettingsError(
            "the marts were built in another time zone",
            f"REPORTING_TIMEZONE={settings.reporting_timezone.key}, marts {built}",
            "use one zone everywhere, or rebuild with dbt build --full-refresh",
        )
    return engine, replace(settings, reporting_timezone=ZoneInfo(built))


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
    engine, service = _open()
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
        _print(summaries.calibration(result, stored=False))
        return DONE if result.is_accepted else FAILED
    with step(engine, "irt-calibrate", lock=CALIBRATION_LOCK, as_of_date=options.as_of) as ledger:
        result = calibrate(engine, request, service, progress, screen.say)
        run_id = result.equal_run or result.run.run_id
        ledger.details |= {"run_id": run_id, "bank": options.bank}
        ledger.row_count = 0 if result.calibration is None else len(result.calibration.item_ids)
        if not result.is_accepted:
            _print(summaries.calibration(result))
            raise IrtServiceError(
                f"run {run_id} was rejected and does not come into force",
                "; ".join(result.reasons),
                "the run in force stays; see docs/psychometrics.md on each gate",
            )
        is_to_publish = options.bank == runs.DEFAULT_BANK and not options.no_publish
        outcome = None
        if is_to_publish and not _was_rolled_back(engine, result.equal_run):
            outcome = publish(engine, Scorer(service), run_id, ReplayProgress(screen))
        _print(summaries.calibration(result, outcome=outcome))
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
    _print(summaries.files(done))
    return DONE if done.is_accepted else FAILED


def _score(options: argparse.Namespace) -> int:
    engine, settings = _open()
    with step(engine, "irt-score", lock=SCORING_LOCK) as ledger:
        students = None
        with engine.connect() as connection:
            if not publications.read_publications(connection):
                _print("No run is in force: calibrate first. Nothing was scored.")
                return DONE
            if not options.history:
                students = marts.read_students_to_score(connection)
        tally = replay(engine, Scorer(settings), students, ReplayProgress(Screen()))
        ledger.row_count = tally.abilities
        ledger.details |= vars(tally)
    _print(summaries.scoring(tally))
    return DONE


def _work(options: argparse.Namespace) -> int:
    engine, settings = _open()
    worker = Worker(engine, Scorer(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop.set())
    if options.retry_parked:
        with engine.begin() as connection:
            _print(f"{deliveries.retry_parked(connection)} parked deliveries are tried again.")
    with step(engine, "irt-worker") as ledger:
        if options.once:
            worker.drain()
        else:
            worker.run(options.poll_seconds)
        ledger.row_count = worker.work.tally.sessions
        ledger.details |= vars(worker.work.tally) | {"parked": len(worker.work.parked)}
        _print(summaries.work(worker.work))
        if options.once and worker.work.parked:
            raise IrtServiceError(
                f"{len(worker.work.parked)} deliveries could not be scored and are parked",
                next(iter(worker.work.parked.items()))[1],
                "`python -m irt_service runs` lists them, worker --retry-parked tries again",
            )
    return DONE


def _set_trigger(options: argparse.Namespace) -> int:
    engine, _ = _open()
    with engine.begin() as connection:
        if options.action == "install":
            trigger.install(connection)
        else:
            trigger.remove(connection)
    _print(
        "Workers hear of results as they are committed."
        if options.action == "install"
        else "Workers find results by looking for them."
    )
    return DONE


def _list_runs(options: argparse.Namespace) -> int:
    engine, _ = _open()
    with engine.connect() as connection:
        _print(summaries.runs(runs.list_runs(connection, options.limit)))
        parked = deliveries.list_parked(connection)
    if parked:
        _print("\n" + summaries.parked(parked))
    return DONE


def _pin_baseline(options: argparse.Namespace) -> int:
    engine, _ = _open()
    with engine.begin() as connection:
        bank = findings.pin_baseline(connection, options.run)
    _print(f"Drift of bank {bank} is measured against run {options.run} from the next run on.")
    return DONE


def _publish(options: argparse.Namespace) -> int:
    if (options.run is None) != options.roll_back:
        raise UsageError("give either a run to publish or --roll-back")
    engine, settings = _open()
    scorer, progress = Scorer(settings), ReplayProgress(Screen())
    if options.roll_back:
        _print(summaries.publication(roll_back(engine, scorer, progress)))
    else:
        _print(summaries.publication(publish(engine, scorer, options.run, progress)))
    return DONE
