"""Puts the service together; uvicorn calls `create` in each of its processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from irt_service.api import (
    errors,
    routes_irt,
    routes_operations,
    routes_reports,
    routes_runs,
    routes_students,
)
from irt_service.api.authentication import Authenticator
from irt_service.api.calibration_process import Calibrations
from irt_service.api.database import Database
from irt_service.api.description import DESCRIPTION, describe
from irt_service.api.observability import Observe, log_as_json
from irt_service.api.report_links import open_links
from irt_service.api.service import Service
from irt_service.api.settings import ServiceSettings, read_service_settings
from irt_service.background import BackgroundWorkers
from irt_service.errors import IrtServiceError
from irt_service.metrics import BacklogCollector
from irt_service.provenance import package_version
from irt_service.scoring import eap
from irt_service.settings import read_settings
from irt_service.store.tokens import TokenRecord, read_token
from warehouse.database import create_engine

_DATABASE_PAUSE_SECONDS = 2.0

logger = structlog.get_logger("irt_service.api")


def create() -> FastAPI:
    """The application, with the settings of the environment."""
    log_as_json()
    return create_app(read_service_settings())


def create_app(settings: ServiceSettings) -> FastAPI:
    """The application; nothing is connected to before its first request."""
    database = Database(settings.connections)

    async def look_up(token_id: str) -> TokenRecord | None:
        return await database.run(lambda connection: read_token(connection, token_id))

    backlog = CollectorRegistry()
    backlog.register(BacklogCollector(database.engine, read_settings().max_tries))
    service = Service(
        settings,
        database,
        Authenticator(settings.token, look_up, settings.is_local),
        Calibrations(
            settings.calibrations, settings.calibrations_waiting, settings.calibrate_seconds
        ),
        open_links(settings),
        backlog,
    )
    app = FastAPI(
        title="IRT service",
        version=package_version(),
        description=DESCRIPTION,
        lifespan=_lifespan,
        # Their pages load scripts from elsewhere; any reader of OpenAPI takes /openapi.json.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    for routes in (
        routes_operations,
        routes_irt,
        routes_students,
        routes_runs,
        routes_reports,
    ):
        app.include_router(routes.router)
    app.add_exception_handler(errors.ApiError, errors.on_api_error)
    app.add_exception_handler(HTTPException, errors.on_http_exception)
    app.add_exception_handler(RequestValidationError, errors.on_invalid_parameters)
    app.add_exception_handler(IrtServiceError, errors.on_foreseen_failure)
    app.add_exception_handler(SQLAlchemyError, errors.on_database_error)
    app.add_middleware(Observe)
    describe(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start the workers with the service; at the end, finish what was taken."""
    service: Service = app.state.service
    # Compiled code is loaded before the first request, not in it.
    eap([1.0], [0.0], [0.0], [0, 1], [0], [1])
    working = asyncio.create_task(_work(service)) if service.settings.has_worker else None
    logger.info("started", has_worker=working is not None, is_local=service.settings.is_local)
    yield
    await service.jobs.finish(service.settings.stop_seconds)
    if working is not None:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
    service.database.close()
    logger.info("stopped")


async def _work(service: Service) -> None:
    """Run a worker until cancelled, from when the database tells in which zone its days are."""
    settings = None
    while settings is None:
        try:
            settings = await service.database.run(service.database.scoring_settings)
        except (SQLAlchemyError, errors.ApiError):
            await asyncio.sleep(_DATABASE_PAUSE_SECONDS)
    engine = create_engine(pooled=True, application_name="irt-worker", hide_parameters=True)
    workers = BackgroundWorkers(engine, settings)
    workers.start()
    try:
        await asyncio.Event().wait()
    finally:
        if not workers.stop(service.settings.stop_seconds):
            logger.warning("a worker was still busy; what it had not committed is found again")
        engine.dispose()
