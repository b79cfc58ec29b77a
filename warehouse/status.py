"""How the steps fare: the last run of each, and whether its last success is too old.

The schedule counts as in use once one of its dbt steps was run here; a step of it that has had
no success since then, for longer than it may be, is stale. Before that nothing is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from warehouse.locks import IS_ALIVE, holder_of
from warehouse.schedule import JOBS, Job

FAILED = ("failed", "killed")
_JOB_OF = {step.name: job for job in JOBS for step in job.steps}
_ORDER = {name: position for position, name in enumerate(_JOB_OF)}
_DBT_STEPS = [step.name for job in JOBS for step in job.steps if step.dbt]


@dataclass(frozen=True)
class StepStatus:
    """A step's last run, and what is known of its last success.

    Attributes:
        step: its name in the ledger.
        status: running, waiting (for a lock), succeeded, failed, or killed, of a run whose
            process is gone; never, of a step of the schedule that was not run yet.
        run_id: of the last run, as all up to `tries`.
        started_at: when it got its lock.
        ended_at: None while it runs, and of a killed one that nobody has buried.
        seconds: from the start to the end, or until now.
        as_of_date: the day that it was of.
        row_count: what it wrote.
        error: why it failed.
        failures: of dbt, the nodes that failed, each with its reason.
        waits_for: a lock that another holds, and who.
        tries: runs of the step by the same Job, this one included.
        succeeded_at: end of the last success.
        success_row_count: what that wrote.
        stale_since: when the last success became too old; None while it is not.
    """

    step: str
    status: str
    run_id: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float | None = None
    as_of_date: date | None = None
    row_count: int | None = None
    error: str | None = None
    failures: Sequence[str] = ()
    waits_for: str | None = None
    tries: int = 0
    succeeded_at: datetime | None = None
    success_row_count: int | None = None
    stale_since: datetime | None = None

    @property
    def job(self) -> Job | None:
        """The job of the schedule that has this step."""
        return _JOB_OF.get(self.step)

    @property
    def is_bad(self) -> bool:
        """Whether somebody has to look."""
        return self.status in FAILED or self.stale_since is not None


_LAST_RUNS = f"""
    with last_run as (
        select distinct on (run.step) run.*
        from ops.pipeline_runs as run
        order by run.step, run.id desc
    ),

    last_success as (
        select distinct on (run.step) run.step, run.ended_at, run.row_count
        from ops.pipeline_runs as run
        where run.status = 'succeeded'
        order by run.step, run.id desc
    )

    select
        run.step,
        case
            when run.status <> 'running' then run.status
            when not {IS_ALIVE} then 'killed'
            when run.details ? 'waiting_for' then 'waiting'
            else 'running'
        end as status,
        run.id as run_id,
        run.started_at,
        run.ended_at,
        extract(epoch from coalesce(run.ended_at, clock_timestamp()) - run.started_at)::float8
            as seconds,
        run.as_of_date,
        run.row_count,
        run.error,
        case
            when jsonb_typeof(run.details -> 'failures') = 'array' then run.details -> 'failures'
            else '[]'
        end as failures,
        run.details ->> 'waiting_for' as waits_for,
        (
            select count(*)
            from ops.pipeline_runs as try
            where try.step = run.step and try.invocation_id = run.invocation_id
        ) as tries,
        last_success.ended_at as succeeded_at,
        last_success.row_count as success_row_count
    from last_run as run
    left join last_success using (step)
"""  # noqa: S608 - a constant condition


def read_status(connection: Connection, now: datetime | None = None) -> list[StepStatus]:
    """Return the steps of the schedule, once it is in use, and every other one that ever ran.

    Those of the schedule come first, in its order, then the others as they began.
    """
    moment = now or datetime.now(UTC)
    rows = connection.execute(sa.text(_LAST_RUNS)).mappings()
    found = {row["step"]: _named(connection, StepStatus(**row)) for row in rows.all()}
    in_use_since: datetime | None = connection.execute(
        sa.text("select min(started_at) from ops.pipeline_runs where step = any(:steps)"),
        {"steps": _DBT_STEPS},
    ).scalar_one()
    if in_use_since is not None:
        for name, job in _JOB_OF.items():
            status = found.get(name) or StepStatus(name, "never")
            due = (status.succeeded_at or in_use_since) + job.max_age
            found[name] = replace(status, stale_since=due if due < moment else None)
    begin = datetime.min.replace(tzinfo=UTC)
    return sorted(
        found.values(),
        key=lambda status: (_ORDER.get(status.step, len(_ORDER)), status.started_at or begin),
    )


def _named(connection: Connection, status: StepStatus) -> StepStatus:
    """Name who holds the lock that a step waits for."""
    if status.status != "waiting" or status.waits_for is None:
        return replace(status, waits_for=None)
    holder = holder_of(connection, status.waits_for) or "nobody any more"
    return replace(status, waits_for=f"lock {status.waits_for!r}, held by {holder}")
