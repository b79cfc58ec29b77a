"""Every answer that is not a success is JSON: {"error": a code, "detail": a sentence}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from irt_service.errors import IrtServiceError

_SHOWN = 3
_LONGEST_PLACE = 60
_UNDEFINED_RELATION = ("42P01", "3F000")

_CODES = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
}


class ErrorBody(BaseModel):
    """What went wrong."""

    error: str = Field(examples=["invalid_request"], description="A code that stays the same")
    detail: str = Field(
        examples=["responses.3.is_correct: Input should be 0, 1 or None"],
        description="What was wrong, where, and what to do, for people",
    )


class ApiError(Exception):
    """An answer that is not a success."""

    def __init__(
        self, status: int, error: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Name the status, a code that stays the same, and a sentence for people."""
        super().__init__(error)
        self.status = status
        self.error = error
        self.detail = detail
        self.headers = headers


def not_found(what: str) -> ApiError:
    """404; also for what belongs to another organisation, so that nobody learns of it."""
    return ApiError(404, "not_found", what)


def respond(
    status: int, error: str, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The JSON of an error."""
    return JSONResponse(
        {"error": error, "detail": detail}, status, headers=dict(headers) if headers else None
    )


def describe_problems(problems: Sequence[Mapping[str, Any]]) -> str:
    """The first problems of a validation, without the values that were sent."""
    shown = [
        f"{_place(problem['loc'])}: {problem['msg']}" if problem["loc"] else str(problem["msg"])
        for problem in problems[:_SHOWN]
    ]
    more = len(problems) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _place(location: Sequence[object]) -> str:
    # Names of fields may have been sent by the client, and be as long as it likes.
    return ".".join(str(part)[:_LONGEST_PLACE] for part in location)


async def on_api_error(_: Request, error: Exception) -> JSONResponse:
    """Our own."""
    assert isinstance(error, ApiError)  # noqa: S101 - registered for this type
    return respond(error.status, error.error, error.detail, error.headers)


async def on_http_exception(_: Request, error: Exception) -> JSONResponse:
    """Starlette's: an unknown path, a method that is not allowed."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type
    code = _CODES.get(error.status_code, "error")
    return respond(error.status_code, code, str(error.detail), error.headers)


async def on_invalid_parameters(_: Request, error: Exception) -> JSONResponse:
    """FastAPI's: path, query and header parameters."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type
    return respond(422, "invalid_request", describe_problems(error.errors()))


async def on_foreseen_failure(_: Request, error: Exception) -> JSONResponse:
    """The service's own checks of what it was given."""
    assert isinstance(error, IrtServiceError)  # noqa: S101 - registered for this type
    return respond(422, "invalid_request", str(error))


async def on_database_error(_: Request, error: Exception) -> JSONResponse:
    """The database is away, or lacks what dbt builds."""
    state = str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")
    if state in _UNDEFINED_RELATION:
        return respond(
            503, "not_built", "the marts are not there yet: dbt build has to run first", _LATER
        )
    if isinstance(error, OperationalError | InterfaceError | PoolTimeoutError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    ):
        return respond(503, "database_unavailable", "the database does not answer", _LATER)
    raise error


_LATER = {"Retry-After": "1"}
