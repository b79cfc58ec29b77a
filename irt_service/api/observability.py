"""What is told about requests: JSON log lines, metrics, and an id on each answer.

Nothing that a student answered and no token is ever logged: a line holds the route's template,
not the path, and of a failure its type and place, not its message.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
import uuid
from typing import Any

import structlog
from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from irt_service.api.errors import respond
from irt_service.metrics import REGISTRY

REQUESTS = Counter(
    "irt_http_requests",
    "Answers by method, route and status",
    ["method", "route", "status"],
    registry=REGISTRY,
)
SECONDS = Histogram(
    "irt_http_request_seconds",
    "From a request's first byte to its answer's last",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0),
    registry=REGISTRY,
)
IN_FLIGHT = Gauge(
    "irt_http_requests_in_flight",
    "Requests being answered",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)

_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_NO_ROUTE = "unmatched"
_QUIET = {"/healthz", "/readyz", "/metrics"}
_FRAMES = 5

logger = structlog.get_logger("irt_service.api")


def log_as_json() -> None:
    """Send every log line of the process, uvicorn's too, to stderr as one JSON object."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # A dead reader of the logs must not end the service: WriteLogger raises no more than
        # the stream does, and what the stream raises is caught where lines are written.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_message_of_exception,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    # httpx and alembic say at this level what the lines above say better.
    for name in ("httpx", "alembic", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _without_message_of_exception(
    _: object, __: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Replace a library's exc_info by the type and place: its message may quote what was sent."""
    info = event.pop("exc_info", None)
    if isinstance(info, tuple) and isinstance(info[1], BaseException):
        event.update(describe_exception(info[1]))
    return event


def describe_exception(error: BaseException) -> dict[str, Any]:
    """The type of a failure and the frames it came through."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return {
        "error_type": type(error).__name__,
        "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }


class Observe:
    """Counts, times and logs each request, and answers what nothing else has caught."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode("ascii")),
                ]
            await send(message)

        IN_FLIGHT.inc()
        failure: dict[str, Any] = {}
        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                await self.app(scope, receive, send_with_id)
        except Exception as error:  # noqa: BLE001 - the last one to answer; logged below
            failure = describe_exception(error)
            if status == 0:
                answer = respond(
                    500, "internal_error", f"an error of the service; it is logged as {request_id}"
                )
                await answer(scope, receive, send_with_id)
        finally:
            IN_FLIGHT.dec()
            _record(scope, request_id, status, time.perf_counter() - started, failure)


def _record(
    scope: Scope, request_id: str, status: int, seconds: float, failure: dict[str, Any]
) -> None:
    method = scope["method"] if scope["method"] in _METHODS else "other"
    route = getattr(scope.get("route"), "path_format", None) or _NO_ROUTE
    REQUESTS.labels(method, route, str(status)).inc()
    SECONDS.labels(method, route).observe(seconds)
    if route in _QUIET and not failure:
        return
    write = logger.error if failure else logger.info
    write(
        "request",
        request_id=request_id,
        method=method,
        route=route,
        status=status,
        milliseconds=round(seconds * 1000, 2),
        **scope["state"].get("log", {}),
        **failure,
    )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return str(value, "ascii")
    return uuid.uuid4().hex


def note(scope: Scope, **facts: object) -> None:
    """Add facts to the request's log line, such as a run's id."""
    scope.setdefault("state", {}).setdefault("log", {}).update(facts)
