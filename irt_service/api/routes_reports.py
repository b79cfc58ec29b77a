"""Stored reports: a link on request, and the files where the service itself keeps them."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from sqlalchemy.engine import Connection
from starlette.responses import FileResponse, Response

from irt_service.api.answers import ReportLink, Reports
from irt_service.api.authentication import Principal
from irt_service.api.errors import ApiError, not_found
from irt_service.api.report_links import FILES, FileLinks
from irt_service.api.service import COMMON, UNKNOWN, PathId, Serving, require, require_student
from irt_service.api.tokens import READ
from irt_service.store import reading
from report_runner.errors import StoreError

router = APIRouter(tags=["reports"])

_TYPES = {".html": "text/html; charset=utf-8", ".pdf": "application/pdf"}


@router.get(
    "/v1/reports/{student_id:path}/{week_start}",
    summary="Links to a student's reports of a week",
    response_model=Reports,
    responses={**COMMON, **UNKNOWN},
)
async def read_reports(
    student_id: PathId,
    week_start: Annotated[date, Path(description="The Monday", examples=["2026-11-16"])],
    service: Serving,
    principal: Annotated[Principal, Depends(require(READ))],
    file_format: Annotated[str | None, Query(alias="format", pattern=r"^[a-z]{1,10}$")] = None,
) -> Response:
    """Each link is good for a few minutes and needs no token: give it to the student's browser."""

    def read(connection: Connection) -> Reports:
        if principal.org_id is not None:
            require_student(connection, principal, student_id)
        rows = reading.read_reports(connection, student_id, week_start, file_format)
        try:
            links = [(row, service.links.link(row.object_key)) for row in rows]
        except StoreError as error:
            raise ApiError(503, "no_store", "the store of the reports gives no links") from error
        found = [
            ReportLink(
                format=row.format,
                language=row.language,
                url=link.url,
                expires_at=link.expires_at,
                size_bytes=row.size_bytes,
                sha256=row.sha256,
                created_at=row.created_at,
            )
            for row, link in links
            if link is not None
        ]
        if not found:
            raise not_found(
                "the report is on record and its file is not in this service's store"
                if rows
                else "no report of such a student and week"
            )
        return Reports(student_id=student_id, week_start=week_start, reports=found)

    content = await service.database.run(read)
    return Response(
        content.model_dump_json(),
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


@router.get(
    FILES + "/{key:path}",
    summary="A report behind a signed link",
    response_class=Response,
    responses={
        200: {"content": {"text/html": {}, "application/pdf": {}}, "description": "The report"},
        **UNKNOWN,
    },
)
async def read_file(
    key: Annotated[str, Path(max_length=1024)],
    service: Serving,
    expires: Annotated[int, Query(ge=0, le=2**53)],
    signature: Annotated[str, Query(max_length=128)],
) -> Response:
    """404 when the link has expired or was not made by this service."""
    links = service.links
    path = links.find(key, expires, signature) if isinstance(links, FileLinks) else None
    if path is None:
        raise not_found("the link has expired or is wrong: ask for a new one")
    return FileResponse(
        path,
        media_type=_TYPES.get(path.suffix, "application/octet-stream"),
        headers={
            "Cache-Control": "private, no-store",
            "X-Content-Type-Options": "nosniff",
            # A report needs nothing from anywhere, and runs no script with our origin's rights.
            "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; "
            "img-src data:; font-src data:",
        },
    )
