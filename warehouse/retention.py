"""Removes what is kept longer than it is needed, by one table of rules.

No rule touches what a mart is built from: an incremental build and a full refresh see the same
before and after. How long attempts, sessions and rejected questions are kept is up to the exam
application: marts hold what `exam` holds, and lose with the next build what is deleted there.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from warehouse.errors import UsageError
from warehouse.ledger import step

STEP = "retain"
ROWS_PER_TRANSACTION = 10_000
_LONGEST_DAYS = 36_500


@dataclass(frozen=True)
class Rows:
    """Rows that a rule deletes.

    Attributes:
        condition: SQL, of which `old` is the row and :before the moment.
    """

    table: str
    condition: str


@dataclass(frozen=True)
class Rule:
    """How long something is kept.

    Attributes:
        name: also of its setting, RETAIN_<NAME>_DAYS.
        days: unless the setting says otherwise.
        rows: what is deleted, in this order; none for files.
    """

    name: str
    days: int
    what: str
    rows: tuple[Rows, ...] = ()

    @property
    def setting(self) -> str:
        """The environment's name of it."""
        return f"RETAIN_{self.name.upper()}_DAYS"


REPORTS = Rule("reports", 730, "reports of students and cohorts, in the store and on record")
REJECTED_LINES = Rule("rejected_lines", 30, "the loader's files of lines it rejected")
RULES = (
    REPORTS,
    Rule(
        "superseded_abilities",
        90,
        "scorings that a later one, or a retraction, has put out of force",
        (
            Rows(
                "irt.mirt_ability",
                """
                old.fitted_at < :before
                and not exists (
                    select 1 from irt.effective_ability as effective where effective.id = old.id
                )
                """,
            ),
            Rows(
                "irt.mirt_topic_ability",
                """
                old.fitted_at < :before
                and not exists (
                    select 1 from irt.mirt_ability as ability where ability.id = old.ability_id
                )
                """,
            ),
            # Only when nothing is left to retract.
            Rows(
                "irt.mirt_ability_retraction",
                """
                old.fitted_at < :before
                and not exists (
                    select 1
                    from irt.mirt_ability as ability
                    where
                        ability.user_id = old.user_id
                        and ability.session_id = old.session_id
                        and ability.run_id = old.run_id
                )
                """,
            ),
        ),
    ),
    Rule(
        "person_fit",
        180,
        "whose answers a calibration found improbable, of runs this old",
        (
            Rows(
                "irt.person_fit",
                """
                exists (
                    select 1
                    from irt.mirt_fit_meta as run
                    where
                        run.run_id = old.run_id
                        and coalesce(run.fitted_at, run.started_at) < :before
                )
                """,
            ),
        ),
    ),
    Rule(
        "gone_deliveries",
        90,
        "the record of results that the application has deleted",
        (Rows("irt.deliveries", "old.result_version = '' and old.processed_at < :before"),),
    ),
    Rule(
        "requested_runs",
        1,
        "calibrations that clients sent and poll for",
        (Rows("irt.requested_runs", "coalesce(old.ended_at, old.alive_at) < :before"),),
    ),
    Rule(
        "ledger",
        400,
        "runs of the ledger, but for the last of each step and the last that succeeded",
        (
            Rows(
                "ops.pipeline_runs",
                """
                old.started_at < :before
                and old.status <> 'running'
                and exists (
                    select 1
                    from ops.pipeline_runs as newer
                    where newer.step = old.step and newer.id > old.id
                )
                and (
                    old.status <> 'succeeded'
                    or exists (
                        select 1
                        from ops.pipeline_runs as newer
                        where
                            newer.step = old.step
                            and newer.status = 'succeeded'
                            and newer.id > old.id
                    )
                )
                """,
            ),
        ),
    ),
    REJECTED_LINES,
)


@dataclass(frozen=True)
class Removed:
    """What a rule removed, or would.

    Attributes:
        counts: by table, or by the rule's name for files.
    """

    rule: Rule
    before: datetime
    counts: dict[str, int]

    @property
    def count(self) -> int:
        """How much it is together."""
        return sum(self.counts.values())


def read_days(rule: Rule, environment: Mapping[str, str] = os.environ) -> int | None:
    """Return for how many days a rule keeps things; None for ever.

    Raises UsageError for a setting that is neither a number of days nor `forever`.
    """
    text = environment.get(rule.setting, "").strip()
    if not text:
        return rule.days
    if text == "forever":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= _LONGEST_DAYS:
        raise UsageError(f"{rule.setting} is {text!r}; it is a number of days from 1, or forever")
    return int(text)


def retain(
    engine: Engine, state: Path, out: Path | None = None, *, dry_run: bool = False
) -> list[Removed]:
    """Apply every rule; with `dry_run` count what it would remove.

    Raises UsageError for a bad setting, before anything is removed.
    """
    now = datetime.now(UTC)
    days = {rule.setting: read_days(rule) for rule in RULES}
    moments = [
        (rule, now - timedelta(days=kept))
        for rule in RULES
        if (kept := days[rule.setting]) is not None
    ]
    if dry_run:
        return [_apply(engine, rule, before, state, out, dry_run=True) for rule, before in moments]
    with step(engine, STEP, lock=STEP) as run:
        removed = [_apply(engine, rule, before, state, out) for rule, before in moments]
        run.row_count = sum(one.count for one in removed)
        run.details["removed"] = {
            name: count for one in removed for name, count in one.counts.items() if count
        }
        run.details["days"] = days
    return removed


def _apply(
    engine: Engine,
    rule: Rule,
    before: datetime,
    state: Path,
    out: Path | None,
    *,
    dry_run: bool = False,
) -> Removed:
    counts: dict[str, int]
    if rule is REPORTS:
        # Brings the stores along, which no other rule needs.
        from report_runner.retention import prune  # noqa: PLC0415

        counts = {rule.name: prune(engine, before.date(), out, dry_run=dry_run)}
    elif rule is REJECTED_LINES:
        counts = {rule.name: _prune_files(state / "rejects", before, dry_run=dry_run)}
    elif dry_run:
        with engine.connect() as connection:
            counts = {rows.table: _count(connection, rows, before) for rows in rule.rows}
    else:
        counts = {rows.table: _delete(engine, rows, before) for rows in rule.rows}
    return Removed(rule, before, counts)


def _count(connection: Connection, rows: Rows, before: datetime) -> int:
    statement = f"select count(*) from {rows.table} as old where {rows.condition}"  # noqa: S608 - a rule
    return int(connection.execute(sa.text(statement), {"before": before}).scalar_one())


def _delete(engine: Engine, rows: Rows, before: datetime) -> int:
    """Delete rows in transactions that nobody waits for long; return how many."""
    statement = f"""
        delete from {rows.table} as old
        where
            old.ctid = any(array(
                select old.ctid from {rows.table} as old where {rows.condition} limit :limit
            ))
    """  # noqa: S608 - a rule
    count = 0
    while True:
        with engine.begin() as connection:
            batch = connection.execute(
                sa.text(statement), {"before": before, "limit": ROWS_PER_TRANSACTION}
            ).rowcount
        count += batch
        if batch < ROWS_PER_TRANSACTION:
            return count


def _prune_files(folder: Path, before: datetime, *, dry_run: bool) -> int:
    old = [
        path
        for path in (folder.glob("*.jsonl") if folder.is_dir() else ())
        if path.stat().st_mtime < before.timestamp()
    ]
    if not dry_run:
        for path in old:
            path.unlink()
    return len(old)
