"""Finished sessions and the abilities of students."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy.engine import Connection, Row
from starlette.responses import JSONResponse, Response

from irt_service.api.answers import (
    Ability,
    AbilityHistory,
    Queued,
    SessionAbility,
    StudentAbility,
    TopicAbility,
)
from irt_service.api.authentication import Principal
from irt_service.api.errors import ApiError, ErrorBody, not_found
from irt_service.api.observability import note
from irt_service.api.service import (
    COMMON,
    UNKNOWN,
    PathId,
    Service,
    Serving,
    asked_to_wait,
    no_ability,
    require,
    require_student,
    utc,
)
from irt_service.api.tokens import READ, SCORE
from irt_service.days import local_day, start_of_day
from irt_service.store import deliveries, reading

router = APIRouter(tags=["students"])

_FIRST_LOOK_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.25

Reader = Annotated[Principal, Depends(require(READ))]


@router.post(
    "/v1/sessions/{session_id:path}/finish",
    summary="Tell that a session has finished",
    response_model=SessionAbility,
    responses={
        202: {"model": Queued, "description": "Not scored yet"},
        409: {"model": ErrorBody, "description": "Given up after several tries"},
        **COMMON,
        **UNKNOWN,
    },
)
async def finish(
    request: Request,
    session_id: PathId,
    service: Serving,
    principal: Annotated[Principal, Depends(require(SCORE))],
) -> Response:
    """Idempotent: a signal to the workers, who find the session without it a moment later.

    With `Prefer: wait=N` the answer waits up to N seconds for the score.
    """
    note(request.scope, session_id=session_id)
    deadline = time.monotonic() + asked_to_wait(request, 0.0)
    found = await service.database.run(lambda c: _look(c, principal, session_id, is_first=True))
    pause = _FIRST_LOOK_SECONDS
    while found is None and time.monotonic() < deadline:
        await anyio.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        found = await service.database.run(
            lambda c: _look(c, principal, session_id, is_first=False)
        )
    if found is None:
        return JSONResponse(
            {"status": "queued", "session_id": session_id}, 202, headers={"Retry-After": "1"}
        )
    return Response(found.model_dump_json(), media_type="application/json")


def _look(
    connection: Connection, principal: Principal, session_id: str, *, is_first: bool
) -> SessionAbility | None:
    """What came of a session; None while it waits, and then the workers are told of it."""
    state = reading.read_session(connection, session_id)
    if state is None or (
        principal.org_id is not None
        and not reading.is_session_of(connection, session_id, principal.org_id)
    ):
        raise not_found("no such session")
    if state.status is None:
        if is_first:
            reading.tell_of(connection, session_id)
        return None
    if state.status == deliveries.PARKED:
        raise ApiError(
            409,
            "parked",
            f"the session could not be scored, {state.tries} tries: it is listed by "
            "`python -m irt_service runs`",
        )
    ability = (
        reading.read_session_ability(connection, session_id, state.user_id)
        if state.status == deliveries.SCORED
        else None
    )
    return SessionAbility(
        status=state.status,
        session_id=session_id,
        student_id=state.user_id,
        theta=ability and ability.theta,
        standard_error=ability and ability.se,
        n_responses=ability and ability.n_responses,
        run_id=ability and ability.run_id,
        effective_at=ability and ability.effective_at,
        reason=state.reason,
    )


@router.get(
    "/v1/students/{student_id:path}/ability/history",
    summary="Abilities of a student, the latest first",
    response_model=AbilityHistory,
    responses={**COMMON, **UNKNOWN},
)
async def read_history(
    student_id: PathId,
    service: Serving,
    principal: Reader,
    run_id: Annotated[
        str | None, Query(max_length=200, pattern=r"^[^\x00]+$", description="Default: in force")
    ] = None,
    before: Annotated[datetime | None, Query(description="Only from before this moment")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """One ability per session, all under one run, so that they can be compared."""

    def read(connection: Connection) -> AbilityHistory:
        require_student(connection, principal, student_id)
        rows = reading.read_history(connection, student_id, run_id, utc(before), limit)
        if not rows and before is None:
            raise no_ability()
        return AbilityHistory(
            student_id=student_id,
            abilities=[Ability(**_ability(row)) for row in rows],
            next_before=rows[-1].effective_at if len(rows) == limit else None,
        )

    return _json(await service.database.run(read))


@router.get(
    "/v1/students/{student_id:path}/ability",
    summary="The current ability of a student",
    response_model=StudentAbility,
    responses={**COMMON, **UNKNOWN},
)
async def read_ability(student_id: PathId, service: Serving, principal: Reader) -> Response:
    """Overall and per topic under the run in force; one older than 90 days does not count."""

    def read(connection: Connection) -> StudentAbility:
        require_student(connection, principal, student_id)
        since = _still_counts_since(service, connection)
        ability = reading.read_ability(connection, student_id, since)
        if ability is None:
            raise no_ability()
        topics = reading.read_topic_abilities(connection, student_id, ability.run_id, since)
        return StudentAbility(
            student_id=student_id,
            **_ability(ability),
            topics=[
                TopicAbility(
                    topic_id=row.topic_id,
                    theta=row.theta,
                    standard_error=row.se,
                    n_responses=row.n_responses,
                    effective_at=row.effective_at,
                )
                for row in topics
            ],
        )

    return _json(await service.database.run(read))


def _still_counts_since(service: Service, connection: Connection) -> datetime:
    settings = service.database.scoring_settings(connection)
    today = local_day(datetime.now(UTC), settings.reporting_timezone)
    first = today - timedelta(days=settings.ability_lookback_days - 1)
    return start_of_day(first, settings.reporting_timezone)


def _ability(row: Row[Any]) -> dict[str, Any]:
    return {
        "theta": row.theta,
        "standard_error": row.se,
        "n_responses": row.n_responses,
        "run_id": row.run_id,
        "session_id": row.session_id,
        "effective_at": row.effective_at,
        "fitted_at": row.fitted_at,
    }


def _json(content: StudentAbility | AbilityHistory) -> Response:
    return Response(content.model_dump_json(), media_type="application/json")
