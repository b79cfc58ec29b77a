"""Prometheus metrics of the nights: the ledger, the marts, what waits and what is missing.

Everything is read when it is scraped, in one read-only transaction, as a member of
`seedtest_analyst`. A database that does not answer shows as `seedtest_ledger_up 0` without the
other metrics: a number that nobody knows is not 0. No metric names a student.
"""

import logging
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, time
from threading import Event

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

# What waits for the online update, in the words of the service that does it; what a report is
# and which are missing, in those of the report runner.
from irt_service.store.backlog import MAX_TRIES, read_backlog
from report_runner.artifacts import count_missing
from report_runner.places import CONTENT_TYPES
from report_runner.queries import read_week
from warehouse.database import create_engine
from warehouse.errors import WarehouseError
from warehouse.schedule import JOBS
from warehouse.status import StepStatus, read_status

logger = logging.getLogger(__name__)

UP = "seedtest_ledger_up"
# A scrape that takes longer than Prometheus waits is given up.
STATEMENT_TIMEOUT = "8s"
CONNECT_TIMEOUT_SECONDS = 3

_MART_DATES = """
    select model as mart, as_of_date
    from ops.model_builds
    where as_of_date is not null and model like 'fct\\_%'
    order by model
"""
_CALIBRATIONS = """
    select distinct on (run.bank)
        run.bank,
        run.status in ('rejected', 'failed') as is_rejected
    from irt.mirt_fit_meta as run
    where run.status <> 'running'
    order by run.bank, run.started_at desc
"""
_DRIFTED = """
    with last_run as (
        select distinct on (bank) bank, run_id
        from irt.mirt_fit_meta
        where status = 'accepted'
        order by bank, started_at desc
    )

    select last_run.bank, count(distinct drift.item_id) as items
    from last_run
    left join irt.item_drift as drift
        on last_run.run_id = drift.run_id and drift.severity = 'severe'
    group by last_run.bank
"""


class LedgerCollector(Collector):
    """Reads the ledger and the marts at each scrape."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine; a connection is made at each scrape and closed again."""
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        try:
            with self._engine.connect() as connection, connection.begin():
                connection.execute(sa.text("set transaction read only"))
                connection.execute(sa.text(f"set local statement_timeout = '{STATEMENT_TIMEOUT}'"))
                metrics = [*_steps(read_status(connection)), *_contents(connection)]
        except SQLAlchemyError as error:
            logger.warning("the ledger cannot be read: %s", str(error).splitlines()[0])
            yield GaugeMetricFamily(UP, "Whether the ledger can be read", 0)
            return
        yield GaugeMetricFamily(UP, "Whether the ledger can be read", 1)
        yield from metrics


def _steps(statuses: list[StepStatus]) -> Iterator[Metric]:
    def family(name: str, text: str, values: dict[str, float | None]) -> Metric:
        gauge = GaugeMetricFamily(f"seedtest_step_{name}", text, labels=["step"])
        for step, value in values.items():
            if value is not None:
                gauge.add_metric([step], value)
        return gauge

    yield family(
        "last_success_timestamp_seconds",
        "End of the last success",
        {status.step: _seconds(status.succeeded_at) for status in statuses},
    )
    yield family(
        "last_end_timestamp_seconds",
        "End of the last run, unless it is running",
        {status.step: _seconds(status.ended_at) for status in statuses},
    )
    ended = [status for status in statuses if status.status in ("succeeded", "failed", "killed")]
    yield family(
        "last_succeeded",
        "Whether the last run succeeded, unless it is running",
        {status.step: float(status.status == "succeeded") for status in ended},
    )
    yield family(
        "running",
        "Whether a run is there, be it waiting for its lock",
        {status.step: float(status.status in ("running", "waiting")) for status in statuses},
    )
    yield family(
        "last_rows",
        "Rows that the last success wrote",
        {status.step: status.success_row_count for status in statuses},
    )
    yield family(
        "last_duration_seconds",
        "How long the last run took, unless it is running",
        {status.step: status.seconds for status in ended if status.ended_at is not None},
    )
    yield family(
        "tries",
        "Runs of the last Job of this step, 1 when it needed no second try",
        {status.step: float(status.tries) for status in statuses if status.tries},
    )
    yield family(
        "max_age_seconds",
        "How old the last success may be, by the schedule",
        {step.name: job.max_age.total_seconds() for job in JOBS for step in job.steps},
    )
    yield family(
        "stale",
        "Whether the last success is older than it may be, or never came",
        {status.step: float(status.stale_since is not None) for status in statuses if status.job},
    )


def _contents(connection: Connection) -> Iterator[Metric]:
    marts = GaugeMetricFamily(
        "seedtest_mart_last_date_timestamp_seconds",
        "Midnight UTC of the last day that a mart was built as of",
        labels=["mart"],
    )
    for row in connection.execute(sa.text(_MART_DATES)):
        midnight = datetime.combine(row.as_of_date, time(), UTC)
        marts.add_metric([row.mart], midnight.timestamp())
    yield marts
    rejected = GaugeMetricFamily(
        "seedtest_calibration_last_rejected",
        "Whether the bank's last calibration was rejected or failed",
        labels=["bank"],
    )
    for row in connection.execute(sa.text(_CALIBRATIONS)):
        rejected.add_metric([row.bank], float(row.is_rejected))
    yield rejected
    drifted = GaugeMetricFamily(
        "seedtest_items_drifted_severely",
        "Items with severe drift in the bank's last accepted calibration",
        labels=["bank"],
    )
    for row in connection.execute(sa.text(_DRIFTED)):
        drifted.add_metric([row.bank], float(row.items))
    yield drifted
    backlog = read_backlog(connection, MAX_TRIES)
    yield GaugeMetricFamily(
        "seedtest_deliveries_waiting",
        "Results that no worker has dealt with yet",
        backlog.waiting,
    )
    yield GaugeMetricFamily(
        "seedtest_delivery_oldest_waiting_seconds",
        "Since updated_at of the oldest of them",
        backlog.oldest_seconds,
    )
    yield GaugeMetricFamily(
        "seedtest_deliveries_parked", "Results given up", sum(backlog.parked.values())
    )
    is_built = connection.execute(
        sa.text(
            "select to_regclass('analytics.fct_student_weekly_kpis') is not null "
            "and to_regclass('analytics.dim_students') is not null"
        )
    )
    if is_built.scalar_one():
        week = read_week(connection, None)
        missing = (
            count_missing(connection, week, tuple(CONTENT_TYPES))
            if week is not None and week.is_complete
            else 0
        )
        yield GaugeMetricFamily(
            "seedtest_reports_missing",
            "Reports, by student and format, that the last complete week lacks",
            float(missing),
        )


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _registry() -> CollectorRegistry:
    engine = create_engine(
        application_name="seedtest-metrics",
        connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS},
    )
    registry = CollectorRegistry()
    registry.register(LedgerCollector(engine))
    return registry


def exposition() -> str:
    """Return the metrics as text."""
    return generate_latest(_registry()).decode()


def serve(port: int) -> None:
    """Answer GET /metrics on this port until SIGTERM or SIGINT.

    Raises WarehouseError when the port is taken, or is none.
    """
    over = Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: over.set())
    try:
        server, thread = start_http_server(port, registry=_registry())
    except (OSError, OverflowError) as error:
        raise WarehouseError(f"cannot listen on port {port}: {error}") from error
    logger.info("metrics on http://localhost:%d/metrics", server.server_port)
    over.wait()
    server.shutdown()
    thread.join()
