"""Liveness, readiness and metrics, on the same port as the pages."""

from collections.abc import Mapping
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from veritag.errors import RecordsUnavailable
from veritag.process.health import Check, readiness
from veritag.records import Records


def records_check(records: Records) -> Check:
    """Return the check that the database answers."""

    def check() -> str | None:
        try:
            records.ping()
        except RecordsUnavailable:
            return "the database does not answer"
        return None

    return check


def archive_check(archive_dir: Path) -> Check:
    """Return the check that the archive can be read, once its folder exists."""

    def check() -> str | None:
        try:
            next(archive_dir.iterdir(), None)
        except FileNotFoundError:
            # The indexer makes the folder with the first instance.
            return None if archive_dir.parent.is_dir() else "the folder is missing"
        except OSError as error:
            return f"the folder cannot be read: {error.strerror}"
        return None

    return check


def monitoring_router(checks: Mapping[str, Check]) -> APIRouter:
    """Return the routes for probes and Prometheus."""
    router = APIRouter(include_in_schema=False)

    @router.get("/live")
    def live() -> JSONResponse:
        return JSONResponse({"status": "live"})

    @router.get("/ready")
    def ready() -> JSONResponse:
        is_ready, body = readiness(checks)
        return JSONResponse(body, 200 if is_ready else 503)

    @router.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router
