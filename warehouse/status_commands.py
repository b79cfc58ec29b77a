"""The commands that tell how the nights went: `status` for people, `metrics` for Prometheus."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

from warehouse import schema
from warehouse.database import create_engine, database_url, describe
from warehouse.settings import Settings
from warehouse.status import FAILED, StepStatus, read_status

_Command = Callable[[argparse.Namespace, Settings], int]
_Add = Callable[[str, _Command, str], argparse.ArgumentParser]
_REASON_MAX_CHARACTERS = 300


def register(add: _Add) -> None:
    """Add the commands to the parser of `python -m warehouse`."""
    showing = add("status", _status, "the last run of each step; fails if one failed or is stale")
    showing.add_argument("--json", action="store_true", help="the same as JSON")
    measuring = add("metrics", _metrics, "print the ledger as Prometheus metrics, or serve them")
    measuring.add_argument(
        "--serve",
        type=int,
        metavar="PORT",
        help="answer GET /metrics until ended, on all addresses",
    )


def _status(arguments: argparse.Namespace, settings: Settings) -> int:
    engine = create_engine(application_name="seedtest-status")
    schema.require_current(engine)
    with engine.connect() as connection:
        statuses = read_status(connection)
    if arguments.json:
        sys.stdout.write(f"{json.dumps(as_json(statuses), indent=2)}\n")
    else:
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        sys.stdout.write(f"{describe(database_url(settings))}, {now}\n")
        lines = as_table(statuses) if statuses else ["nothing has run yet"]
        sys.stdout.write("\n".join(lines) + "\n")
    wrong = {
        "failed": [status.step for status in statuses if status.status in FAILED],
        "stale": [status.step for status in statuses if status.stale_since is not None],
    }
    said = [f"{what}: {', '.join(steps)}" for what, steps in wrong.items() if steps]
    if said:
        sys.stderr.write(f"error: {'; '.join(said)}\n")
    return 1 if said else 0


def _metrics(arguments: argparse.Namespace, _: Settings) -> int:
    # Of all commands only this one needs what speaks to Prometheus.
    from warehouse import metrics  # noqa: PLC0415

    if arguments.serve is None:
        text = metrics.exposition()
        sys.stdout.write(text)
        return 0 if f"\n{metrics.UP} 1" in text else 1
    metrics.serve(arguments.serve)
    return 0


def as_table(statuses: Sequence[StepStatus]) -> list[str]:
    """Lay the steps out as a table, with what is wrong or waited for below each."""
    lines = [
        f"{'step':<26}{'as of':<12}{'ended (UTC)':<18}{'took':>8}{'rows':>12}  {'status':<10}tries"
    ]
    for status in statuses:
        as_of = status.as_of_date.isoformat() if status.as_of_date else ""
        ended = f"{status.ended_at:%a %m-%d %H:%M:%S}" if status.ended_at else ""
        rows = "" if status.row_count is None else f"{status.row_count:,}"
        tries = str(status.tries) if status.tries > 1 else ""
        lines.append(
            f"{status.step:<26}{as_of:<12}{ended:<18}{_took(status.seconds):>8}{rows:>12}  "
            f"{status.status:<10}{tries}".rstrip()
        )
        lines += [f"    {reason}" for reason in _reasons(status)]
    return lines


def _reasons(status: StepStatus) -> list[str]:
    reasons = []
    if status.waits_for is not None:
        reasons.append(f"waits for {status.waits_for}")
    elif status.status == "killed":
        reasons.append("its process is gone and said nothing")
    elif status.status == "failed":
        reasons += [
            " ".join(reason.split())[:_REASON_MAX_CHARACTERS] for reason in status.failures
        ] or [" ".join((status.error or "no reason was recorded").split())[:_REASON_MAX_CHARACTERS]]
    if status.stale_since is not None:
        last = f"{status.succeeded_at:%Y-%m-%d %H:%M} UTC" if status.succeeded_at else "never"
        since = f"{status.stale_since:%Y-%m-%d %H:%M} UTC"
        reasons.append(f"STALE since {since}; last success: {last}")
    return reasons


def _took(seconds: float | None) -> str:
    if seconds is None:
        return ""
    whole = timedelta(seconds=round(seconds))
    minute = timedelta(minutes=1)
    return f"{seconds:.1f} s" if whole < minute else f"{whole // minute} min {whole.seconds % 60}"


def as_json(statuses: Sequence[StepStatus]) -> list[dict[str, object]]:
    """Return the steps as what JSON can say."""
    return [
        {
            name: value.isoformat() if isinstance(value, date) else value
            for name, value in {**vars(status), "is_bad": status.is_bad}.items()
        }
        for status in statuses
    ]
