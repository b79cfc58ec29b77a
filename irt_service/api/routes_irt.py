"""The stateless routes of older clients: score and calibrate what the request brings."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from irt_service.api import requested_runs
from irt_service.api.answers import Accepted, Calibrated, ManyScores, OneScore
from irt_service.api.authentication import Principal
from irt_service.api.bodies import read_body
from irt_service.api.calibration import parse_request
from irt_service.api.errors import ErrorBody
from irt_service.api.observability import note
from irt_service.api.scores import score
from irt_service.api.service import (
    COMMON,
    WITH_BODY,
    Service,
    Serving,
    asked_not_to_wait_for_long,
    asked_to_wait,
    require,
)
from irt_service.api.tokens import CALIBRATE, SCORE

router = APIRouter(tags=["stateless"])

# Larger requests are scored in a thread, so that others need not wait.
_SCORED_AT_ONCE = 32 * 1024
_CHECKED_FIRST = 1024 * 1024
_ASYNC_AFTER_SECONDS = 5.0


@router.post(
    "/irt/score",
    summary="Score answers with given item parameters",
    responses={200: {"model": OneScore | ManyScores}, **COMMON, **WITH_BODY},
    dependencies=[Depends(require(SCORE))],
)
async def score_request(request: Request, service: Serving) -> Response:
    """EAP under the prior N(0, 1), for one student or many; nothing is stored."""
    body = await read_body(request, service.settings.score_body_bytes)
    if len(body) <= _SCORED_AT_ONCE:
        return JSONResponse(score(body))
    return JSONResponse(await anyio.to_thread.run_sync(score, body))


@router.post(
    "/irt/calibrate",
    summary="Calibrate items from given answers",
    responses={
        200: {"model": Calibrated},
        202: {"model": Accepted, "description": "Takes long, and the client asked not to wait"},
        504: {"model": ErrorBody, "description": "Took longer than the service allows"},
        **COMMON,
        **WITH_BODY,
    },
)
async def calibrate_request(
    request: Request,
    service: Serving,
    principal: Annotated[Principal, Depends(require(CALIBRATE))],
) -> Response:
    """Estimate item parameters and abilities of the answers in the request, in its own process.

    With `Prefer: respond-async` a calibration that is not done after 5 s (`wait=N`: N s) is
    answered with 202 and a run to poll; its result is kept for a day.
    """
    service.calibrations.take_place()
    is_kept = False
    try:
        body = await read_body(request, service.settings.calibrate_body_bytes)
        if len(body) <= _CHECKED_FIRST:
            # A process is not started for what is wrong at first sight.
            await anyio.to_thread.run_sync(parse_request, body)
        run_id = f"fit-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(6)}"
        note(request.scope, run_id=run_id)
        if not asked_not_to_wait_for_long(request):
            return JSONResponse(await service.calibrations.run(body, run_id))
        await requested_runs.start(service.database, run_id, principal.org_id)
        task = service.jobs.start(_calibrate_for_later(service, body, run_id))
        is_kept = True
    finally:
        if not is_kept:
            service.calibrations.give_place_back()
    done, _ = await asyncio.wait([task], timeout=asked_to_wait(request, _ASYNC_AFTER_SECONDS))
    if done:
        return JSONResponse(task.result())
    poll = f"/v1/runs/{run_id}"
    return JSONResponse(
        {"status": "running", "run_id": run_id, "poll": poll},
        202,
        headers={"Location": poll, "Retry-After": "5", "Preference-Applied": "respond-async"},
    )


async def _calibrate_for_later(service: Service, body: bytes, run_id: str) -> dict[str, object]:
    """Calibrate for who has a place, with a record that outlives the request."""
    try:
        async with requested_runs.on_record(service.database, run_id) as keep:
            content = await service.calibrations.run(body, run_id)
            await keep(content)
            return content
    finally:
        service.calibrations.give_place_back()
