"""Checks of every request, security headers of every answer, and the request log."""

import ipaddress
import socket
import time
import traceback
from collections.abc import Iterable, Mapping
from types import TracebackType
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from veritag.process.logs import get_logger

MAX_BODY_BYTES = 65_536
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MONITORING = frozenset({"/live", "/ready", "/metrics"})

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": with it browsers send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

log = get_logger()


class RequestGuard:
    """Refuses foreign hosts, foreign origins and large bodies; logs each request.

    Parameters
    ----------
    host_names
        Names by which browsers may address this service, besides localhost and IP
        addresses. Any other name that resolves to it may be a DNS rebinding attack.
    """

    def __init__(self, app: ASGIApp, host_names: Iterable[str]) -> None:
        self._app = app
        own = {"localhost", socket.gethostname()}
        self._host_names = frozenset(n.lower() for n in {*own, *host_names})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, _cache_control(scope["path"]))
        start = time.perf_counter()
        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                await refusal(scope, receive, answer)
            else:
                await self._app(scope, receive, answer)
        except Exception as error:  # noqa: BLE001 - every error ends in an answer
            await self._crashed(error, scope, receive, answer)
        _log_request(scope, answer.status, time.perf_counter() - start)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        if scope["path"] not in MONITORING and not self._known(headers.get("host", "")):
            return PlainTextResponse(
                "This host name is not in VERITAG_REVIEW_HOST_NAMES.\n", status_code=400
            )
        if scope["method"] in SAFE_METHODS:
            return None
        if not self._same_origin(headers):
            return PlainTextResponse(
                "The request came from another site.\n", status_code=403
            )
        if not headers.get("content-length", "").isdecimal():
            return PlainTextResponse(
                "The Content-Length header is missing.\n", status_code=411
            )
        if int(headers["content-length"]) > MAX_BODY_BYTES:
            return PlainTextResponse("The request is too large.\n", status_code=413)
        return None

    def _known(self, host: str) -> bool:
        name = _host_name(host)
        return name is not None and (name in self._host_names or _is_address(name))

    def _same_origin(self, headers: Headers) -> bool:
        """Return whether the browser names this site as origin; programs send neither header."""
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site in {"same-origin", "none"}
        origin = headers.get("origin")
        if origin is None:
            return True
        # A proxy may have changed the Host header, so configured names are accepted too.
        parts = urlsplit(origin)
        return parts.netloc == headers.get("host") or parts.hostname in self._host_names

    async def _crashed(
        self, error: Exception, scope: Scope, receive: Receive, answer: "_Answer"
    ) -> None:
        # The message of an error may contain patient data; its place in the code cannot.
        log.error("request_crashed", error=type(error).__name__, at=_frames(error))
        if answer.status is None:
            response = PlainTextResponse("Internal error.\n", status_code=500)
            await response(scope, receive, answer)


class _Answer:
    """Sends the answer with the security headers, and keeps its status."""

    def __init__(self, send: Send, cache_control: str) -> None:
        self._send = send
        self._cache_control = cache_control
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", self._cache_control)
        await self._send(message)


def _cache_control(path: str) -> str:
    """Pages hold patient data and are never stored; style and script are revalidated."""
    return "no-cache" if path.startswith("/static/") else "no-store"


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _frames(error: Exception) -> list[str]:
    trace: TracebackType | None = error.__traceback__
    frames = traceback.extract_tb(trace)[-6:]
    return [f"{f.filename.rpartition('/')[2]}:{f.lineno} {f.name}" for f in frames]


def _log_request(scope: Scope, status: int | None, seconds: float) -> None:
    """Log the template of the path: the path itself may name a study."""
    template = getattr(scope.get("route"), "path", None)
    quiet = scope["path"] in MONITORING or template is None
    (log.debug if quiet else log.info)(
        "request",
        method=scope["method"],
        route=template or "other",
        status=status,
        milliseconds=round(1000 * seconds, 1),
    )
