"""Reads request bodies: bounded in bytes and time, UTF-8 JSON of one declared shape."""

from __future__ import annotations

import json
from typing import TypeVar

import anyio
from fastapi import Request
from pydantic import TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect

from irt_service.api.errors import ApiError, describe_problems

T = TypeVar("T")

_READ_SECONDS = 60.0


async def read_body(request: Request, largest: int) -> bytes:
    """The body, which must call itself JSON.

    Raises:
        ApiError: 415, 413 as soon as it is known to be too large, 408, 400 when it ends early.
    """
    _require_json(request)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > largest:
        raise _too_large(largest)
    parts: list[bytes] = []
    size = 0
    try:
        with anyio.fail_after(_READ_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > largest:
                    raise _too_large(largest)
                parts.append(part)
    except TimeoutError as error:
        raise ApiError(408, "timeout", "the body did not arrive in time", _CLOSE) from error
    except ClientDisconnect as error:
        raise ApiError(400, "incomplete", "the body ended early", _CLOSE) from error
    return b"".join(parts)


def parse(shape: TypeAdapter[T], body: bytes) -> T:
    """Turn JSON into its declared shape.

    Raises:
        ApiError: 400 when it is no JSON, 422 when it is of another shape.
    """
    try:
        return shape.validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        if problems[0]["type"] == "json_invalid":
            raise ApiError(400, "invalid_json", problems[0]["msg"]) from None
        raise ApiError(422, "invalid_request", describe_problems(problems)) from None


def refuse_repeated_names(body: bytes) -> None:
    """An object that names something twice means two things.

    Raises:
        ApiError: 422.
    """

    def check(pairs: list[tuple[str, object]]) -> None:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ApiError(422, "invalid_request", "an object names the same item twice")

    json.loads(body, object_pairs_hook=check)


def _require_json(request: Request) -> None:
    kind = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
    # Clients that say nothing have always been understood.
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise ApiError(
            415, "unsupported_media_type", "send JSON with Content-Type: application/json"
        )


def _too_large(largest: int) -> ApiError:
    return ApiError(413, "body_too_large", f"at most {largest} bytes are read", _CLOSE)


# The rest of such a body is not read, so the connection cannot be used again.
_CLOSE = {"Connection": "close"}
