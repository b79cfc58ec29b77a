"""Calibration runs: list, look into, publish; and those that clients asked for."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy.engine import Connection
from starlette.responses import JSONResponse, Response

from irt_service.api import requested_runs
from irt_service.api.answers import (
    Accepted,
    Item,
    Items,
    Published,
    RequestedRun,
    RunDetails,
    Runs,
    RunSummary,
)
from irt_service.api.authentication import Principal
from irt_service.api.errors import ApiError, ErrorBody, not_found
from irt_service.api.observability import note
from irt_service.api.service import (
    COMMON,
    UNKNOWN,
    PathId,
    Serving,
    asked_not_to_wait_for_long,
    asked_to_wait,
    require,
    utc,
)
from irt_service.api.tokens import PUBLISH, READ
from irt_service.store import reading
from irt_service.store import requested_runs as requested
from irt_service.store.runs import DEFAULT_BANK

router = APIRouter(tags=["runs"])

Reader = Annotated[Principal, Depends(require(READ))]
Name = Annotated[str | None, Query(min_length=1, max_length=512, pattern=r"^[^\x00]+$")]

_PUBLISH_SECONDS = 25.0
_ERROR_PREFIX = "error: "


@router.get("/v1/runs", summary="Calibration runs, the latest first", response_model=Runs,
            responses={**COMMON})  # fmt: skip
async def list_runs(
    service: Serving,
    principal: Reader,
    bank: Name = None,
    status: Literal["running", "accepted", "rejected", "failed"] | None = None,
    before: Annotated[datetime | None, Query(description="Only started before this")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Every run that was tried, with the reasons of those that were not accepted."""

    def read(connection: Connection) -> Runs:
        rows = reading.list_runs(connection, bank, status, utc(before), limit, principal.org_id)
        return Runs(
            runs=[RunSummary.model_validate(row, from_attributes=True) for row in rows],
            next_before=rows[-1].started_at if len(rows) == limit else None,
        )

    return _json(await service.database.run(read))


@router.get("/v1/runs/{run_id}/items", summary="Item parameters of a run", response_model=Items,
            responses={**COMMON, **UNKNOWN})  # fmt: skip
async def list_items(
    run_id: PathId,
    service: Serving,
    principal: Reader,
    after: Name = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
) -> Response:
    """In the order of the items' ids."""

    def read(connection: Connection) -> Items:
        _require_run(connection, principal, run_id)
        rows = reading.read_items(connection, run_id, after, limit)
        return Items(
            run_id=run_id,
            items=[
                Item(
                    item_id=row.item_id,
                    params={"a": row.discrimination, "b": row.difficulty, "c": row.guessing},
                    standard_errors={
                        "a": row.se_discrimination,
                        "b": row.se_difficulty,
                        "c": row.se_guessing,
                    },
                    n_responses=row.n_responses,
                    flags=row.flags,
                )
                for row in rows
            ],
            next_after=rows[-1].item_id if len(rows) == limit else None,
        )

    return _json(await service.database.run(read))


@router.get("/v1/runs/{run_id}", summary="A calibration run",
            response_model=RunDetails | RequestedRun,
            responses={**COMMON, **UNKNOWN})  # fmt: skip
async def read_run(run_id: PathId, service: Serving, principal: Reader) -> Response:
    """A run of the pipeline, or one that a client asked for and polls."""

    def read(connection: Connection) -> RunDetails | RequestedRun:
        asked_for = requested.read(connection, run_id, requested_runs.LOST_AFTER_SECONDS)
        if asked_for is None:
            return _require_run(connection, principal, run_id)
        if principal.org_id is not None and asked_for.org_id != principal.org_id:
            raise not_found("no such run")
        lost = requested_runs.LOST if asked_for.is_lost else None
        return RequestedRun.model_construct(
            run_id=run_id,
            status="failed" if lost else asked_for.status,
            started_at=asked_for.started_at,
            ended_at=asked_for.ended_at,
            error=lost[0] if lost else asked_for.error,
            detail=lost[1] if lost else asked_for.detail,
            result=asked_for.result,
        )

    content = await service.database.run(read)
    # A result was checked when it was made, and is sent as it was kept.
    return Response(content.model_dump_json(warnings=False), media_type="application/json")


@router.post(
    "/v1/runs/{run_id}/publish",
    summary="Put an accepted run in force",
    response_model=Published,
    responses={
        202: {"model": Accepted, "description": "Sessions are being scored under it"},
        409: {"model": ErrorBody, "description": "The run must not or could not come into force"},
        **COMMON,
        **UNKNOWN,
    },
)
async def publish(
    request: Request,
    run_id: PathId,
    service: Serving,
    principal: Annotated[Principal, Depends(require(PUBLISH))],
) -> Response:
    """Scores every session under the run, in a process of its own, then switches; idempotent.

    What is not done after 25 s (`Prefer: wait=N`, `respond-async`: at once) goes on and is
    answered with 202; the run shows when it is in force.
    """
    note(request.scope, run_id=run_id)
    before = await service.database.run(lambda c: _require_run(c, principal, run_id))
    _require_publishable(before)
    if not before.is_in_force:
        task = service.jobs.start(_publish(run_id))
        default = 0.0 if asked_not_to_wait_for_long(request) else _PUBLISH_SECONDS
        done, _ = await asyncio.wait([task], timeout=asked_to_wait(request, default))
        if not done:
            poll = f"/v1/runs/{run_id}"
            return JSONResponse(
                {"status": "running", "run_id": run_id, "poll": poll},
                202,
                headers={"Location": poll, "Retry-After": "5"},
            )
        task.result()
    after = await service.database.run(lambda c: _require_run(c, principal, run_id))
    if after.in_force_from is None:
        raise ApiError(409, "revoked", "the run was taken back at the same moment")
    return _json(
        Published(
            status="published",
            run_id=run_id,
            has_changed=not before.is_in_force,
            in_force_from=after.in_force_from,
        )
    )


async def _publish(run_id: str) -> None:
    """Run the command: it holds the lock of scoring, and may take all memory and cores it likes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "irt_service", "publish", run_id,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, told = await process.communicate()
    except asyncio.CancelledError:
        # Killed in between, the old run stays in force.
        process.terminate()
        await process.wait()
        raise
    if process.returncode != 0:
        lines = told.decode("utf-8", "replace").strip().splitlines()
        reason = next(
            (
                line.removeprefix(_ERROR_PREFIX)
                for line in reversed(lines)
                if line.startswith(_ERROR_PREFIX)
            ),
            f"ended with {process.returncode}",
        )
        raise ApiError(409, "not_published", reason)


def _require_publishable(run: RunDetails) -> None:
    if run.status != "accepted":
        raise ApiError(
            409,
            "not_accepted",
            f"the run is {run.status}, only an accepted one comes into force",
        )
    if run.bank != DEFAULT_BANK:
        raise ApiError(409, "not_default_bank", f"the run is of bank {run.bank}, not of all items")


def _require_run(connection: Connection, principal: Principal, run_id: str) -> RunDetails:
    row = reading.read_run(connection, run_id)
    if row is None or not _may_see(principal, row.bank):
        raise not_found("no such run")
    return RunDetails.model_validate(row, from_attributes=True)


def _may_see(principal: Principal, bank: str) -> bool:
    """A bank of one organisation is for that organisation."""
    if principal.org_id is None or not bank.startswith("org:"):
        return True
    return bank == f"org:{principal.org_id}"


def _json(content: Runs | Items | RunDetails | RequestedRun | Published) -> Response:
    return Response(content.model_dump_json(), media_type="application/json")
