"""Which TCP ports `veritag up` gives to its processes."""

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from veritag.errors import ConfigurationError
from veritag.settings import Settings

HTTP_ROLES = ("listener", "indexer", "worker", "scheduler", "trainer", "delivery")


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one run.

    Attributes
    ----------
    http
        Role to the port of its metrics and health.
    moved
        Roles whose default port was taken by another program.
    """

    dicom: int
    review: int
    http: Mapping[str, int]
    moved: tuple[str, ...] = ()

    def environment(self) -> dict[str, str]:
        """Return the settings that tell the processes their ports."""
        told = {"VERITAG_DICOM_PORT": self.dicom, "VERITAG_REVIEW_PORT": self.review}
        for role, port in self.http.items():
            told[f"VERITAG_{role.upper()}_HTTP_PORT"] = port
        return {name: str(port) for name, port in told.items()}


def choose_ports(settings: Settings) -> Ports:
    """Return free ports: as set, or others for metrics that nobody asked to be there.

    Raises
    ------
    ConfigurationError
        If the DICOM port, the review port or an explicitly set port is taken.
    """
    with ExitStack() as held:
        return _choose(settings, held)


def _choose(settings: Settings, held: ExitStack) -> Ports:
    """Choose; what was found free stays bound until all are chosen."""
    host, review_host = settings.dicom_host, settings.review_host
    dicom = _wanted(host, settings.dicom_port, "VERITAG_DICOM_PORT", held)
    review = _wanted(review_host, settings.review_port, "VERITAG_REVIEW_PORT", held)
    http, moved = {}, []
    for role in HTTP_ROLES:
        field = f"{role}_http_port"
        port = getattr(settings, field)
        if field in settings.model_fields_set:
            port = _wanted(settings.http_host, port, f"VERITAG_{field.upper()}", held)
        elif is_taken(settings.http_host, port):
            port = _hold_free_port(settings.http_host, held)
            moved.append(role)
        http[role] = port
    _require_distinct({"dicom": dicom, "review": review, **http})
    return Ports(dicom, review, http, tuple(moved))


def _wanted(host: str, port: int, variable: str, held: ExitStack) -> int:
    if port == 0:
        return _hold_free_port(host, held)
    if is_taken(host, port):
        raise ConfigurationError(
            f"port {port} on {host} is taken by another program; "
            f"set {variable} to another one (0 takes any free one)"
        )
    return port


def _require_distinct(ports: Mapping[str, int]) -> None:
    seen: dict[int, str] = {}
    for role, port in ports.items():
        other = seen.setdefault(port, role)
        if other != role:
            raise ConfigurationError(f"{other} and {role} are both set to port {port}")


def is_taken(host: str, port: int) -> bool:
    """Say whether another program listens there, or we may not."""
    with _unbound(host) as probe:
        # Connections of an earlier run that linger in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def free_port(host: str) -> int:
    """Return a port that is free at this moment."""
    with ExitStack() as held:
        return _hold_free_port(host, held)


def _hold_free_port(host: str, held: ExitStack) -> int:
    """Return a port that nobody else finds free before `held` is closed."""
    probe = held.enter_context(_unbound(host))
    probe.bind((host, 0))
    return int(probe.getsockname()[1])


def _unbound(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM)
