"""Liveness, readiness and metrics of a process, on an HTTP port of its own.

Health probes do not use the DICOM port: each connection costs an association there.
"""

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from veritag.errors import ConfigurationError

Check = Callable[[], str | None]
"""Check of a dependency: None when it works, else the reason."""


def readiness(checks: Mapping[str, Check]) -> tuple[bool, dict[str, Any]]:
    """Return whether all checks pass, and the response body with the state of each."""
    dependencies = {name: _state(check) for name, check in checks.items()}
    ready = all(state == "ok" for state in dependencies.values())
    return ready, {"ready": ready, "dependencies": dependencies}


def _state(check: Check) -> str:
    try:
        return check() or "ok"
    except Exception as error:  # noqa: BLE001 - a failing check is a state too
        return f"{type(error).__name__}: {error}"


class HealthServer:
    """HTTP server of `/live`, `/ready` and `/metrics`, in a thread of the process.

    Parameters
    ----------
    port
        TCP port; 0 selects a free one.
    checks
        Check of each dependency, by its name.
    """

    def __init__(self, host: str, port: int, checks: Mapping[str, Check]) -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(checks))
        except OSError as error:
            raise ConfigurationError(
                f"cannot serve health and metrics on {host}:{port}: {error.strerror}; "
                "choose another port"
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.5},
            name="health",
            daemon=True,
        )

    def start(self) -> int:
        """Start the server; return its port."""
        self._thread.start()
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Stop the server and free the port."""
        self._server.shutdown()
        self._server.server_close()


def _handler(checks: Mapping[str, Check]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds: a client that sends nothing must not keep a thread

        def do_GET(self) -> None:
            if self.path == "/live":
                self._json(200, {"status": "live"})
            elif self.path == "/ready":
                ready, body = readiness(checks)
                self._json(200 if ready else 503, body)
            elif self.path == "/metrics":
                self._send(200, CONTENT_TYPE_LATEST, generate_latest())
            else:
                self._json(404, {"error": "only /live, /ready and /metrics exist"})

        def _json(self, status: int, body: Mapping[str, Any]) -> None:
            self._send(status, "application/json", json.dumps(body).encode() + b"\n")

        def _send(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing: probes come every few seconds."""

    return Handler
