"""What every route works with, and the checks that they share."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Request
from prometheus_client import CollectorRegistry
from sqlalchemy.engine import Connection

from irt_service.api.authentication import Authenticator, Principal
from irt_service.api.calibration_process import Calibrations
from irt_service.api.database import Database
from irt_service.api.errors import ApiError, ErrorBody, not_found
from irt_service.api.jobs import Jobs
from irt_service.api.observability import note
from irt_service.api.report_links import ReportLinks
from irt_service.api.requests import LONGEST_ID
from irt_service.api.settings import ServiceSettings
from irt_service.store import erasures, reading

_BEARER = re.compile(r"[Bb]earer +(\S+)")
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*([0-9]{1,6})\b")
_MOST_WAIT_SECONDS = 30.0


@dataclass
class Service:
    """The parts of a running service."""

    settings: ServiceSettings
    database: Database
    authenticator: Authenticator
    calibrations: Calibrations
    links: ReportLinks
    backlog: CollectorRegistry
    jobs: Jobs = field(default_factory=Jobs)


def service_of(request: Request) -> Service:
    """The service that answers."""
    service: Service = request.app.state.service
    return service


async def _serving(request: Request) -> Service:
    # Not a plain function, which FastAPI would run in a thread for each request.
    return service_of(request)


Serving = Annotated[Service, Depends(_serving)]
PathId = Annotated[str, Path(min_length=1, max_length=LONGEST_ID, pattern=r"^[^\x00]+$")]


def require(scope: str) -> Callable[[Request], Awaitable[Principal]]:
    """A dependency that lets nobody in whose token lacks a scope."""

    async def identify(request: Request) -> Principal:
        principal = await service_of(request).authenticator.identify(_token(request))
        note(request.scope, token=principal.token_id)
        if scope not in principal.scopes:
            raise ApiError(403, "forbidden", f"the token lacks the scope {scope}")
        return principal

    return identify


def _token(request: Request) -> str | None:
    match = _BEARER.fullmatch(request.headers.get("authorization", "").strip())
    # Older clients send it in a header of its own.
    return match[1] if match else request.headers.get("x-internal-token")


def require_student(connection: Connection, principal: Principal, student_id: str) -> None:
    """Only a student who has sat an exam for the token's organisation and was not erased.

    Raises:
        ApiError: 404, in the words for a student nobody knows.
    """
    if erasures.read_erased(connection, [student_id]):
        raise no_ability()
    if principal.org_id is None or reading.is_student_of(connection, student_id, principal.org_id):
        return
    raise no_ability()


def no_ability() -> ApiError:
    """404 of a student."""
    return not_found("no ability of such a student under the run in force")


def utc(moment: datetime | None) -> datetime | None:
    """A time without a zone is UTC, as everywhere here."""
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=UTC)


def asked_to_wait(request: Request, default: float) -> float:
    """Seconds of `Prefer: wait=N` (RFC 7240), bounded."""
    match = _WAIT.search(request.headers.get("prefer", "").lower())
    return default if match is None else min(float(match[1]), _MOST_WAIT_SECONDS)


def asked_not_to_wait_for_long(request: Request) -> bool:
    """Whether the client would rather poll: `Prefer: respond-async`."""
    return "respond-async" in request.headers.get("prefer", "").lower()


Responses = dict[int | str, dict[str, Any]]

# For the description of routes: what each may answer besides its success.
COMMON: Responses = {
    401: {"model": ErrorBody, "description": "No valid token"},
    403: {"model": ErrorBody, "description": "The token lacks the scope"},
    422: {"model": ErrorBody, "description": "Understood, and not possible"},
    503: {"model": ErrorBody, "description": "Try again later"},
}
WITH_BODY: Responses = {
    400: {"model": ErrorBody, "description": "No JSON"},
    413: {"model": ErrorBody, "description": "The body is too large"},
    415: {"model": ErrorBody, "description": "The body is not called JSON"},
}
UNKNOWN: Responses = {
    404: {"model": ErrorBody, "description": "Unknown, or of another organisation"},
}
