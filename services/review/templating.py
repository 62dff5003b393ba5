"""Rendering of the page templates: always escaped, undefined names are errors."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydicom.uid import UID

from services.review import explanations
from veritag import __version__

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def render(template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """Return the page that a template makes of its context."""
    return HTMLResponse(_environment().get_template(template).render(context), status)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("services.review"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        ago=ago,
        moment=moment,
        dicom_date=dicom_date,
        label=explanations.label,
        repeated=explanations.repeated,
        station=explanations.station,
        sop_class=lambda uid: UID(uid).name,
    )
    environment.globals["version"] = __version__
    return environment


def ago(then: datetime) -> str:
    """Return the age of a moment in words, for example `3 hours ago`."""
    seconds = (datetime.now(UTC) - then).total_seconds()
    for size, unit in _UNITS:
        count = int(seconds // size)
        if count >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def moment(value: datetime) -> str:
    """Return a moment to the second, in UTC."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def dicom_date(value: str | None) -> str:
    """Return a DA value as YYYY-MM-DD (PS3.5 Section 6.2), others unchanged."""
    if not value:
        return ""
    try:
        return datetime.strptime(value, "%Y%m%d").date().isoformat()
    except ValueError:
        return value
