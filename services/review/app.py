"""The review application: pages, JSON API, pictures and monitoring on one port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from services.review import api
from services.review.error_pages import add_error_pages
from services.review.middleware import RequestGuard
from services.review.migrated_records import MigratedRecords
from services.review.monitoring import archive_check, monitoring_router, records_check
from services.review.pages import (
    dead_letters,
    destinations,
    detectability,
    models,
    stations,
    study,
    worklist,
)
from services.review.pictures import exemplars, thumbnails
from services.review.pictures.pictures import Pictures
from veritag import __version__
from veritag.decisions import Decision
from veritag.pixels.decoding_process import DecodingLimits
from veritag.pixels.thumbnail_store import ThumbnailStore
from veritag.process.metrics import DECISIONS, count_from_zero
from veritag.records import Records
from veritag.settings import Settings
from veritag.storage.archive import Archive

STATIC = Path(__file__).parent / "static"

API_ROUTERS = (
    api.router,
    models.api,
    detectability.api,
    stations.api,
    destinations.api,
)
PAGE_ROUTERS = (
    worklist.pages,
    dead_letters.pages,
    models.pages,
    destinations.pages,
    detectability.pages,
    stations.pages,
    study.pages,
    exemplars.router,
    thumbnails.router,
)


def create_app(settings: Settings) -> FastAPI:
    """Return the ASGI application; nothing is connected before it starts."""
    records = Records.open(settings.records_url)
    app = FastAPI(
        title="Veritag review",
        version=__version__,
        description="Findings of DICOM metadata checked against pixels, and decisions.",
        openapi_url="/api/v1/openapi.json",
        # The pages of FastAPI's documentation load scripts from a CDN.
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.records = MigratedRecords(records)
    app.state.pictures = Pictures(
        Archive(settings.archive_dir),
        ThumbnailStore(settings.pictures_dir),
        threads=settings.decode_threads,
        max_frame_mb=settings.max_frame_mb,
        limits=DecodingLimits.of(settings),
    )
    count_from_zero(DECISIONS, Decision)
    _include_routers(app)
    checks = {
        "records": records_check(records),
        "archive": archive_check(settings.archive_dir),
    }
    app.include_router(monitoring_router(checks))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    add_error_pages(app)
    app.add_middleware(
        RequestGuard, host_names=(settings.review_host, *settings.review_host_names)
    )
    return app


def _include_routers(app: FastAPI) -> None:
    """Add the JSON API and the pages; only the API is in the OpenAPI document."""
    for router in API_ROUTERS:
        app.include_router(router)
    for router in PAGE_ROUTERS:
        app.include_router(router, include_in_schema=False)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    app.state.pictures.close()
    app.state.records.close()
