"""For whoever operates the service: alive, ready, metrics. These need no token."""

from __future__ import annotations

import os

import anyio.to_thread
from fastapi import APIRouter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.responses import JSONResponse, Response

from irt_service.api.answers import Health, Readiness
from irt_service.api.errors import ApiError, ErrorBody
from irt_service.api.service import Serving
from irt_service.api.settings import MULTIPROCESS
from irt_service.metrics import REGISTRY
from irt_service.store import runs

router = APIRouter(tags=["operations"])


@router.get("/healthz", summary="Alive", response_model=Health)
async def answer_health() -> Response:
    """Says nothing of the database: see /readyz."""
    return JSONResponse({"status": "ok", "service": "irt"})


@router.get(
    "/readyz",
    summary="Ready",
    response_model=Readiness,
    responses={503: {"model": ErrorBody, "description": "No database, or no published run"}},
)
async def answer_readiness(service: Serving) -> Response:
    """Whether the database answers and a run is in force."""
    run_id = await service.database.run(runs.read_current_run_id)
    if run_id is None:
        raise ApiError(503, "no_run_in_force", "no calibration run is published yet")
    return JSONResponse({"status": "ready", "run_id": run_id})


@router.get("/metrics", summary="Prometheus metrics", response_class=Response,
            responses={200: {"content": {"text/plain": {}}}})  # fmt: skip
async def answer_metrics(service: Serving) -> Response:
    """Requests, latency, queue depth and age, scored sessions, failures, the run in force."""
    text = await anyio.to_thread.run_sync(_collect, service.backlog)
    return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _collect(backlog: CollectorRegistry) -> bytes:
    """This process's counters, or those of all processes, and what the database tells."""
    if not os.environ.get(MULTIPROCESS):
        return generate_latest(REGISTRY) + generate_latest(backlog)
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return generate_latest(together) + generate_latest(backlog)
