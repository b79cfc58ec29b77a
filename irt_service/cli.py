"""The commands of the IRT service; results go to stdout, progress and logs to stderr."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import psycopg
import structlog
from sqlalchemy.exc import DBAPIError

from irt_service import calibrate_command, summaries
from irt_service.api import commands as http
from irt_service.commands import DONE, FAILED, WRONG_USAGE, open_warehouse, positive, show
from irt_service.errors import IrtServiceError
from irt_service.progress import ReplayProgress, Screen
from irt_service.publish import publish, roll_back
from irt_service.replay import replay
from irt_service.scorer import Scorer
from irt_service.store import deliveries, marts, publications, runs, trigger
from irt_service.worker import POLL_SECONDS, Worker
from warehouse.errors import UsageError, WarehouseError
from warehouse.ledger import step
from warehouse.locks import SCORING_LOCK


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
    except (DBAPIError, psycopg.Error) as error:
        # COPY goes to the driver directly.
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

    calibrate_command.add(commands)

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
    one.add_argument(
        "--heartbeat", type=Path, metavar="FILE", help="touched at every turn, for a liveness check"
    )

    one = commands.add_parser(
        "trigger", help="have the exam application's results tell workers of themselves"
    )
    one.set_defaults(command=_set_trigger)
    one.add_argument("action", choices=["install", "remove"])

    one = commands.add_parser("runs", help="list calibration runs and parked deliveries")
    one.set_defaults(command=_list_runs)
    one.add_argument("--limit", type=positive, default=20, help="so many, the latest (20)")

    one = commands.add_parser("publish", help="put a run in force, or return to the one before")
    one.set_defaults(command=_publish)
    one.add_argument("run", nargs="?", metavar="RUN")
    one.add_argument("--roll-back", action="store_true", help="revoke the latest publication")

    http.add_commands(commands)
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _score(options: argparse.Namespace) -> int:
    engine, settings = open_warehouse()
    with step(engine, "irt-score", lock=SCORING_LOCK) as ledger:
        students = None
        with engine.connect() as connection:
            if not publications.read_publications(connection):
                show("No run is in force: calibrate first. Nothing was scored.")
                return DONE
            if not options.history:
                students = marts.read_students_to_score(connection)
        tally = replay(engine, Scorer(settings), students, ReplayProgress(Screen()))
        ledger.row_count = tally.abilities
        ledger.details |= vars(tally)
    show(summaries.scoring(tally))
    return DONE


def _work(options: argparse.Namespace) -> int:
    engine, settings = open_warehouse()
    worker = Worker(engine, Scorer(settings), heartbeat=options.heartbeat)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop.set())
    if options.retry_parked:
        with engine.begin() as connection:
            show(f"{deliveries.retry_parked(connection)} parked deliveries are tried again.")
    with step(engine, "irt-worker") as ledger:
        if options.once:
            worker.drain()
        else:
            worker.run(options.poll_seconds)
        ledger.row_count = worker.work.tally.sessions
        ledger.details |= vars(worker.work.tally) | {"parked": len(worker.work.parked)}
        show(summaries.work(worker.work))
        if options.once and worker.work.parked:
            raise IrtServiceError(
                f"{len(worker.work.parked)} deliveries could not be scored and are parked",
                next(iter(worker.work.parked.items()))[1],
                "`python -m irt_service runs` lists them, worker --retry-parked tries again",
            )
    return DONE


def _set_trigger(options: argparse.Namespace) -> int:
    engine, _ = open_warehouse()
    with engine.begin() as connection:
        if options.action == "install":
            trigger.install(connection)
        else:
            trigger.remove(connection)
    show(
        "Workers hear of results as they are committed."
        if options.action == "install"
        else "Workers find results by looking for them."
    )
    return DONE


def _list_runs(options: argparse.Namespace) -> int:
    engine, _ = open_warehouse()
    with engine.connect() as connection:
        show(summaries.runs(runs.list_runs(connection, options.limit)))
        parked = deliveries.list_parked(connection)
    if parked:
        show("\n" + summaries.parked(parked))
    return DONE


def _publish(options: argparse.Namespace) -> int:
    if (options.run is None) != options.roll_back:
        raise UsageError("give either a run to publish or --roll-back")
    engine, settings = open_warehouse()
    scorer, progress = Scorer(settings), ReplayProgress(Screen())
    if options.roll_back:
        show(summaries.publication(roll_back(engine, scorer, progress)))
    else:
        show(summaries.publication(publish(engine, scorer, options.run, progress)))
    return DONE
