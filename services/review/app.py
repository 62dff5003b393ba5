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
    checks = {
        "records": records_check(records),
        "archive": archive_check(settings.archive_dir),
    }
    app.include_router(monitoring_router(checks))
    app.include_router(api.router)
    for router in (
        models.api,
        detectability.api,
        stations.api,
        destinations.api,
    ):
        app.include_router(router)
    for router in (
        worklist.router,
        dead_letters.router,
        models.pages,
        destinations.pages,
        detectability.pages,
        stations.pages,
        study.router,
        exemplars.router,
        thumbnails.router,
    ):
        app.include_router(router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    add_error_pages(app)
    app.add_middleware(
        RequestGuard, host_names=(settings.review_host, *settings.review_host_names)
    )
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    app.state.pictures.close()
    app.state.records.close()
