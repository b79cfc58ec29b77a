"""Prometheus metrics of the online update; the HTTP service mounts them under /metrics.

Counters say what the workers of this process did. The collector reads the database, so the
service also tells of workers that run elsewhere. No metric names a student or a session.

    registry = metrics.REGISTRY            # add the service's own metrics to it
    registry.register(BacklogCollector(engine, settings.max_tries))
    generate_latest(registry)
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from irt_service.store.backlog import Backlog, read_backlog

REGISTRY = CollectorRegistry()

SCORED_SESSIONS = Counter(
    "irt_worker_sessions", "Deliveries dealt with by this process's workers", registry=REGISTRY
)
ABILITIES = Counter(
    "irt_worker_abilities", "Overall abilities appended by this process", registry=REGISTRY
)
FAILURES = Counter(
    "irt_worker_failures",
    "Tries that failed in this process, by kind of reason",
    ["reason"],
    registry=REGISTRY,
)
BLOCK_SECONDS = Histogram(
    "irt_worker_block_seconds",
    "From reading a block of deliveries to its commit",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
    registry=REGISTRY,
)

# The comparison of every result takes its share of the server, not more than this one.
_SHARE_OF_TIME = 0.02
_FRESH_SECONDS = 1.0


class BacklogCollector(Collector):
    """Reads the backlog when scraped, but not more often than its cost allows.

    A database that does not answer shows as `irt_backlog_up 0`, without the other gauges:
    a number that nobody knows is not 0.
    """

    def __init__(self, engine: Engine, max_tries: int) -> None:
        """Take an engine with a pool, and the tries after which a delivery is given up."""
        self._engine = engine
        self._max_tries = max_tries
        self._lock = Lock()
        self._known: Backlog | None = None
        self._read_again_at = 0.0

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        try:
            backlog = self._read()
        except SQLAlchemyError:
            yield GaugeMetricFamily("irt_backlog_up", "Whether the database answers", 0)
            return
        yield GaugeMetricFamily("irt_backlog_up", "Whether the database answers", 1)
        yield GaugeMetricFamily(
            "irt_queue_depth", "Deliveries that no worker has dealt with yet", backlog.waiting
        )
        yield GaugeMetricFamily(
            "irt_queue_oldest_seconds",
            "Since updated_at of the oldest delivery in the queue",
            backlog.oldest_seconds,
        )
        deliveries = GaugeMetricFamily(
            "irt_deliveries", "Deliveries dealt with, by what came of it", labels=["status"]
        )
        for status, count in sorted(backlog.by_status.items()):
            deliveries.add_metric([status], count)
        yield deliveries
        parked = GaugeMetricFamily(
            "irt_parked_deliveries", "Deliveries given up, by kind of reason", labels=["reason"]
        )
        for reason, count in sorted(backlog.parked.items()):
            parked.add_metric([reason], count)
        yield parked
        in_force = InfoMetricFamily("irt_run_in_force", "The run published last")
        if backlog.run_in_force is not None:
            in_force.add_metric([], {"run_id": backlog.run_in_force})
        yield in_force
        yield GaugeMetricFamily(
            "irt_runs_in_publication", "Runs about to come into force", len(backlog.publishing)
        )

    def _read(self) -> Backlog:
        with self._lock:
            begun = time.monotonic()
            if self._known is None or begun >= self._read_again_at:
                with self._engine.connect() as connection:
                    self._known = read_backlog(connection, self._max_tries)
                took = time.monotonic() - begun
                self._read_again_at = begun + max(_FRESH_SECONDS, took / _SHARE_OF_TIME)
            return self._known
