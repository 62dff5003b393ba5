"""The programs of `veritag up`: commands, environment and checks of readiness."""

import http.client
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from services.system.ports import Ports
from services.system.private_broker import PrivateBroker
from veritag.errors import MissingPart
from veritag.process.health import Check
from veritag.process.supervisor import Program
from veritag.settings import NEVER, Settings

_EXTRAS = {"pynetdicom": "listener", "onnxruntime": "worker", "fastapi": "review"}
_COMMANDS = {
    "review": ("review",),
    "trainer": ("trainer",),
    "scheduler": ("schedule",),
    "worker": ("work",),
    "delivery": ("deliver",),
    "indexer": ("index",),
    "listener": ("listen", "--no-indexer"),
}
# Stopping begins with the listener (highest layer) and ends with the broker.
_LAYERS = {"broker": 0, "listener": 2}


@dataclass(frozen=True)
class System:
    """The settings, ports and broker of one run, from which the programs follow."""

    settings: Settings
    ports: Ports
    broker: PrivateBroker | None

    def environment(self) -> dict[str, str]:
        """Return the environment of every process."""
        variables = {
            # By default glibc has a memory arena per thread, which costs memory only.
            "MALLOC_ARENA_MAX": "2",
            **os.environ,
            **self.ports.environment(),
        }
        variables["VERITAG_DATA_DIR"] = str(self.settings.data_dir.absolute())
        if self.broker is not None:
            variables["VERITAG_BROKER_URL"] = self.broker.url
        if not training_enabled(self.settings):
            # Without a trainer the scheduler must not request trainings.
            variables["VERITAG_TRAIN_SCHEDULE"] = NEVER
        return variables

    def roles(self) -> Mapping[str, tuple[str, ...]]:
        """Return the roles to run, with their commands."""
        enabled = {
            "trainer": training_enabled(self.settings),
            "delivery": bool(self.settings.peers),
        }
        return {r: c for r, c in _COMMANDS.items() if enabled.get(r, True)}

    def programs(self) -> list[Program]:
        """Return the programs in the order of their start."""
        environment = self.environment()
        programs = [] if self.broker is None else [_broker_program(self.broker)]
        for role, command in self.roles().items():
            port = self.ports.http.get(role)
            host = self.settings.http_host if port else self.settings.review_host
            programs.append(
                Program(
                    role,
                    (sys.executable, "-m", "veritag.cli", *command),
                    environment,
                    http_check(reachable(host), port or self.ports.review),
                    _LAYERS.get(role, 1),
                    port or self.ports.review,
                )
            )
        return programs

    def describe(self) -> dict[str, Any]:
        """Return addresses, ports and paths, for `run/system.json` and the summary."""
        review = reachable(self.settings.review_host)
        metrics = reachable(self.settings.http_host)
        return {
            "pid": os.getpid(),
            "data_dir": str(self.settings.data_dir.absolute()),
            "ae_title": self.settings.ae_title,
            "dicom_host": self.settings.dicom_host,
            "dicom_port": self.ports.dicom,
            "dicom_plain": self.settings.dicom_plain,
            "dicom_tls_port": self.settings.dicom_tls_port,
            "review_url": f"http://{in_url(review)}:{self.ports.review}/",
            "metrics": {
                role: f"http://{in_url(metrics)}:{port}/metrics"
                for role, port in self.ports.http.items()
                if role in self.roles()
            },
            "moved": list(self.ports.moved),
            "broker": self.broker.argv[0] if self.broker else "VERITAG_BROKER_URL",
        }


def training_enabled(settings: Settings) -> bool:
    """Return whether training is configured and its packages are installed."""
    triggers = (
        settings.train_new_instances,
        settings.train_new_decisions,
        settings.train_drift,
        settings.train_unknown_rise,
    )
    configured = settings.train_schedule != NEVER or any(triggers)
    return configured and find_spec("torch") is not None


def _broker_program(broker: PrivateBroker) -> Program:
    def check() -> str | None:
        return None if broker.answers() else "does not answer yet"

    return Program("broker", broker.argv, os.environ, check, _LAYERS["broker"])


def reachable(host: str) -> str:
    """Return the address by which this machine reaches a bound address."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound here
    return everywhere.get(host, host)


def in_url(host: str) -> str:
    """Return a host for a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def http_check(host: str, port: int) -> Check:
    """Return a check that requests `/ready` of a process."""

    def check() -> str | None:
        connection = http.client.HTTPConnection(host, port, timeout=3)
        try:
            connection.request("GET", "/ready")
            response = connection.getresponse()
            body = response.read()
        except OSError:
            return "starting"
        finally:
            connection.close()
        return None if response.status == http.HTTPStatus.OK else _reasons(body)

    return check


def _reasons(body: bytes) -> str:
    try:
        dependencies: Mapping[str, str] = json.loads(body)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return "not ready"
    return "; ".join(f"{k}: {v}" for k, v in dependencies.items() if v != "ok")


def require_extras() -> None:
    """Raise MissingPart naming the extras that are not installed."""
    missing = [extra for name, extra in _EXTRAS.items() if not find_spec(name)]
    if missing:
        raise MissingPart(
            f"some packages are not installed: pip install 'veritag[{','.join(missing)}]'"
        )
