"""TCP ports of the processes of `veritag up`."""

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
        Port of health and metrics, by role.
    moved
        Roles whose default port another program uses.
    """

    dicom: int
    review: int
    http: Mapping[str, int]
    moved: tuple[str, ...] = ()

    def environment(self) -> dict[str, str]:
        """Return the ports as environment variables of the processes."""
        variables = {
            "VERITAG_DICOM_PORT": self.dicom,
            "VERITAG_REVIEW_PORT": self.review,
        }
        for role, port in self.http.items():
            variables[f"VERITAG_{role.upper()}_HTTP_PORT"] = port
        return {name: str(port) for name, port in variables.items()}


def choose_ports(settings: Settings) -> Ports:
    """Return free ports: those of the settings; for metrics with a taken default, others.

    Raises
    ------
    ConfigurationError
        If the DICOM port, the review port or an explicitly set port is taken.
    """
    with ExitStack() as sockets:
        return _choose(settings, sockets)


def _choose(settings: Settings, sockets: ExitStack) -> Ports:
    """Choose the ports; each free one stays bound until all are chosen."""
    host, review_host = settings.dicom_host, settings.review_host
    dicom = _configured_port(host, settings.dicom_port, "VERITAG_DICOM_PORT", sockets)
    review = _configured_port(
        review_host, settings.review_port, "VERITAG_REVIEW_PORT", sockets
    )
    http, moved = {}, []
    for role in HTTP_ROLES:
        field = f"{role}_http_port"
        port = getattr(settings, field)
        if field in settings.model_fields_set:
            port = _configured_port(
                settings.http_host, port, f"VERITAG_{field.upper()}", sockets
            )
        elif is_taken(settings.http_host, port):
            port = _hold_free_port(settings.http_host, sockets)
            moved.append(role)
        http[role] = port
    _require_distinct({"dicom": dicom, "review": review, **http})
    return Ports(dicom, review, http, tuple(moved))


def _configured_port(host: str, port: int, variable: str, sockets: ExitStack) -> int:
    if port == 0:
        return _hold_free_port(host, sockets)
    if is_taken(host, port):
        raise ConfigurationError(
            f"port {port} on {host} is taken by another program; "
            f"set {variable} to another one (0 selects a free one)"
        )
    return port


def _require_distinct(ports: Mapping[str, int]) -> None:
    roles: dict[int, str] = {}
    for role, port in ports.items():
        other = roles.setdefault(port, role)
        if other != role:
            raise ConfigurationError(f"{other} and {role} are both set to port {port}")


def is_taken(host: str, port: int) -> bool:
    """Return whether the port cannot be bound: it is in use, or not permitted."""
    with _unbound(host) as probe:
        # Connections of an earlier run in TIME_WAIT do not prevent a bind.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def free_port(host: str) -> int:
    """Return a port that is free at this moment."""
    with ExitStack() as sockets:
        return _hold_free_port(host, sockets)


def _hold_free_port(host: str, sockets: ExitStack) -> int:
    """Return a free port, which stays bound until `sockets` is closed."""
    probe = sockets.enter_context(_unbound(host))
    probe.bind((host, 0))
    return int(probe.getsockname()[1])


def _unbound(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM)
