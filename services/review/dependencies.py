"""Dependencies of the routes: records, settings, pictures and the reviewer."""

from typing import Annotated
from urllib.parse import quote, unquote

from fastapi import Cookie, Depends, HTTPException, Path, Query, Request
from fastapi.responses import Response

from services.review.pictures.pictures import Pictures
from veritag.records import Records
from veritag.settings import Settings

REVIEWER_COOKIE = "veritag_reviewer"
MAX_NAME = 128
_YEAR_SECONDS = 365 * 86_400


def _records(request: Request) -> Records:
    return request.app.state.records.ready()  # type: ignore[no-any-return]


def _settings(request: Request) -> Settings:
    return request.app.state.settings  # type: ignore[no-any-return]


def _pictures(request: Request) -> Pictures:
    return request.app.state.pictures  # type: ignore[no-any-return]


RecordsDep = Annotated[Records, Depends(_records)]
SettingsDep = Annotated[Settings, Depends(_settings)]
PicturesDep = Annotated[Pictures, Depends(_pictures)]


def proxy_reviewer(request: Request, settings: SettingsDep) -> str | None:
    """Return the reviewer named by the trusted proxy, None where none is configured.

    Raises
    ------
    HTTPException
        401 if a proxy is configured and the request has no valid name: it did not come
        through the proxy.
    """
    if settings.review_user_header is None:
        return None
    name = request.headers.get(settings.review_user_header, "").strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise HTTPException(
            401, "The proxy in front of this service named no reviewer."
        )
    return name


def cookie_reviewer(
    value: Annotated[str, Cookie(alias=REVIEWER_COOKIE)] = "",
) -> str:
    """Return the reviewer's name that this browser sent before, else an empty text."""
    name = unquote(value)
    return name if name.isprintable() and len(name) <= MAX_NAME else ""


def remember_reviewer(request: Request, answer: Response, reviewer: str) -> None:
    """Set a cookie, so that the form has the name filled in the next time."""
    answer.set_cookie(
        REVIEWER_COOKIE,
        quote(reviewer),
        max_age=_YEAR_SECONDS,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )


ProxyReviewer = Annotated[str | None, Depends(proxy_reviewer)]
CookieReviewer = Annotated[str, Depends(cookie_reviewer)]

# Wider than PS3.5 Section 9.1: studies with a malformed UID are reviewed as well.
StudyUid = Annotated[str, Path(pattern=r"^[0-9A-Za-z._-]{1,128}$")]
Id = Annotated[int, Path(ge=1, lt=1 << 63)]
PageNumber = Annotated[int, Query(ge=1, le=1_000_000)]
