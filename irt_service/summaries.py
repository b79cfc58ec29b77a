"""What the commands print: short, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import psycopg
from sqlalchemy.engine import Row
from sqlalchemy.exc import DBAPIError

from irt_service import attention
from irt_service.days import BEGINNING_OF_TIME
from irt_service.files import FileRun
from irt_service.gates import count_reasons
from irt_service.publish import Outcome
from irt_service.run_record import Result
from irt_service.scale import Scale
from irt_service.scorer import Tally
from irt_service.store.deliveries import Parked
from irt_service.worker import Work


def calibration(result: Result, outcome: Outcome | None = None, *, stored: bool = True) -> str:
    """A calibration of the warehouse."""
    if result.equal_run is not None:
        lines = [
            f"Nothing has changed since run {result.equal_run}: the same responses and settings."
        ]
        if outcome is not None and outcome.has_changed:
            lines.append(publication(outcome))
        return "\n".join(lines)
    rows: list[tuple[str, str]] = [("run", result.run.run_id if stored else "(dry run)")]
    attempt = result.calibration or (result.fit.calibration if result.fit else None)
    rows.append(("model", f"{result.run.model}, engine {result.run.engine}"))
    rows.append(("bank", result.run.bank))
    if attempt is not None:
        rows += [
            ("students", f"{attempt.n_persons:,}"),
            ("items", f"{len(attempt.item_ids):,}"),
            ("responses", f"{attempt.n_observations:,}"),
            ("log-likelihood", f"{attempt.log_likelihood:,.2f}"),
            ("iterations", f"{attempt.iterations} in {attempt.wall_seconds:.1f} s"),
            ("prior", f"N({attempt.prior_mean:.3f}, {attempt.prior_sd:.3f}²)"),
        ]
    if result.scale is not None:
        rows.append(("scale", _scale(result)))
    tally = count_reasons(result.excluded)
    rows.append(
        (
            "set aside",
            ", ".join(f"{count} {reason}" for reason, count in sorted(tally.items())) or "no item",
        )
    )
    if result.diagnosis is not None:
        rows += attention.lines(result.diagnosis)
    rows.append(("verdict", "accepted" if result.is_accepted else "rejected"))
    rows += [("reason", reason) for reason in result.reasons]
    if result.diagnosis is not None and stored:
        rows.append(("details", attention.places(result.run.run_id)))
    if outcome is not None:
        rows.append(("in force", f"from {_day(outcome.in_force_from)}"))
        rows.append(("abilities", scoring(outcome.tally)))
    elif stored and result.is_accepted:
        rows.append(("in force", "no, not published"))
    return _aligned(rows)


def _scale(result: Result) -> str:
    scale = result.scale
    if scale is None:
        return ""
    if scale.method == "break":
        return f"NEW SCALE: {scale.details['reason']}; not comparable with earlier abilities"
    return describe_scale(scale)


def describe_scale(scale: Scale) -> str:
    """How the scale was found, how well, and which items were dropped on the way."""
    text = scale.method
    if scale.slope != 1.0 or scale.shift != 0.0:
        text += f": A {scale.slope:.4f}, B {scale.shift:.4f}"
    if "to_run" in scale.details:
        text += f", to run {scale.details['to_run']}"
    if "n_anchors_used" in scale.details:
        dropped = scale.details["dropped"]
        text += (
            f", {scale.details['n_anchors_used']} items, "
            f"curves within {scale.details['rmsd_expected_score']:.4f}"
        )
        text += f"; DROPPED as drifted: {', '.join(dropped)}" if dropped else ""
    return text


def files(done: FileRun) -> str:
    """A calibration from files."""
    rows = [
        ("verdict", "accepted" if done.is_accepted else "rejected"),
        *(("reason", reason) for reason in done.reasons),
    ]
    not_answered = done.report["input"]["not_answered"]
    if not_answered:
        how = done.report["settings"]["not_answered"]
        rows.append(("not answered", f"{not_answered:,} rows, counted as {how}"))
    attempt = done.fit.calibration
    if attempt is not None:
        rows += [
            ("students", f"{done.n_students:,}"),
            ("items", f"{len(attempt.item_ids):,}"),
            ("responses", f"{attempt.n_observations:,}"),
            ("log-likelihood", f"{attempt.log_likelihood:,.2f}"),
            ("iterations", f"{attempt.iterations} in {attempt.wall_seconds:.1f} s"),
        ]
    tally = count_reasons(done.fit.excluded)
    rows.append(
        ("set aside", ", ".join(f"{n} {why}" for why, n in sorted(tally.items())) or "no item")
    )
    if done.scale is not None:
        rows.append(("scale", describe_scale(done.scale)))
    if done.diagnosis is not None:
        rows += attention.lines(done.diagnosis, has_history=False)
    rows += [("written", str(path)) for path in done.written]
    return _aligned(rows)


def publication(outcome: Outcome) -> str:
    """A publication or roll-back."""
    since = _day(outcome.in_force_from)
    if not outcome.has_changed:
        return f"Run {outcome.run_id} is in force already, from {since}."
    return f"Run {outcome.run_id} is in force from {since}: {scoring(outcome.tally)}."


def scoring(tally: Tally) -> str:
    """What a scoring did."""
    return (
        f"{tally.sessions:,} sessions looked at, {tally.abilities:,} abilities and "
        f"{tally.topic_abilities:,} topic abilities written, {tally.retractions:,} retracted"
    )


def work(done: Work) -> str:
    """What a worker did."""
    if done.waits_for_run:
        return "No run is in force: deliveries wait until one is published."
    return scoring(done.tally) + (f", {len(done.parked)} parked" if done.parked else "")


def runs(rows: Sequence[Row[Any]]) -> str:
    """The table of runs."""
    if not rows:
        return "There are no runs yet: python -m irt_service calibrate"
    header = ("", "RUN", "STATUS", "BANK", "MODEL", "STUDENTS", "ITEMS", "RESPONSES",
              "LOG-LIKELIHOOD", "STARTED (UTC)", "IN FORCE FROM")  # fmt: skip
    table = [
        (
            "*" if row.is_current else "",
            row.run_id,
            row.status,
            row.bank,
            row.model,
            _count(row.n_persons),
            _count(row.n_items),
            _count(row.n_responses),
            "" if row.log_likelihood is None else f"{row.log_likelihood:,.2f}",
            f"{row.started_at:%Y-%m-%d %H:%M}",
            "" if row.in_force_from is None else _day(row.in_force_from),
        )
        for row in rows
    ]
    lines = columns([header, *table], right={5, 6, 7, 8})
    notes = [f"{row.run_id}: {reason}" for row in rows for reason in row.reasons]
    return "\n".join([*lines, *notes])


def parked(deliveries: Sequence[Parked]) -> str:
    """The table of parked deliveries."""
    header = ("PARKED SESSION", "STUDENT", "TRIES", "SINCE (UTC)", "REASON")
    table = [
        (one.session_id, one.student_id or "", str(one.tries), f"{one.since:%Y-%m-%d %H:%M}",
         one.reason)
        for one in deliveries
    ]  # fmt: skip
    return "\n".join(columns([header, *table], right={2}))


def describe_database_error(error: DBAPIError | psycopg.Error) -> str:
    """A database's complaint in one line."""
    said = error.orig or error if isinstance(error, DBAPIError) else error
    lines = str(said).strip().splitlines()
    return f"the database refused: {lines[0] if lines else type(error).__name__}"


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _day(day: date) -> str:
    return "the beginning" if day == BEGINNING_OF_TIME else day.isoformat()


def _aligned(rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"{name:<15} {value}" for name, value in rows)


def columns(table: Sequence[Sequence[str]], right: set[int]) -> list[str]:
    """The lines of a table; columns in `right` are aligned to the right."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
