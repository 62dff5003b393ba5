"""The review application: pages, JSON API, pictures and monitoring on one port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from services.review import (
    api,
    destinations_page,
    detectability_page,
    exemplars,
    models_page,
    pages,
    stations_page,
    study_page,
    thumbnails,
)
from services.review.failures import add_failure_pages
from services.review.guard import Guard
from services.review.monitoring import archive_check, monitoring_router, records_check
from services.review.store import MigratedRecords
from services.review.thumbnails import Pictures
from veritag import __version__
from veritag.archive import Archive
from veritag.confined import Limits
from veritag.kept_pictures import KeptPictures
from veritag.metrics import DECISIONS, count_from_zero
from veritag.records import Records
from veritag.review import Decision
from veritag.settings import Settings

STATIC = Path(__file__).parent / "static"


def create_app(settings: Settings) -> FastAPI:
    """Return the ASGI application; nothing is connected before it starts."""
    records = Records.open(settings.records_url)
    app = FastAPI(
        title="Veritag review",
        version=__version__,
        description="Findings of DICOM metadata checked against pixels, and decisions.",
        openapi_url="/api/v1/openapi.json",
        # Their pages load scripts from a CDN; the schema itself is enough.
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.records = MigratedRecords(records)
    app.state.pictures = Pictures(
        Archive(settings.archive_dir),
        KeptPictures(settings.pictures_dir),
        threads=settings.decode_threads,
        max_frame_mb=settings.max_frame_mb,
        limits=Limits.of(settings),
    )
    count_from_zero(DECISIONS, Decision)
    checks = {
        "records": records_check(records),
        "archive": archive_check(settings.archive_dir),
    }
    app.include_router(monitoring_router(checks))
    app.include_router(api.router)
    for router in (
        models_page.api,
        detectability_page.api,
        stations_page.api,
        destinations_page.api,
    ):
        app.include_router(router)
    for router in (
        pages.router,
        models_page.pages,
        destinations_page.pages,
        detectability_page.pages,
        stations_page.pages,
        study_page.router,
        exemplars.router,
        thumbnails.router,
    ):
        app.include_router(router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    add_failure_pages(app)
    app.add_middleware(
        Guard, host_names=(settings.review_host, *settings.review_host_names)
    )
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.records.try_migrate()
    yield
    app.state.pictures.close()
    app.state.records.close()
