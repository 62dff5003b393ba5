"""Who may come in and how many at a time; and what is written of those who may not."""

import contextlib
import resource
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Protocol

from services.listener.connections.associate_request import LIMIT_EXCEEDED
from veritag.process.logs import get_logger
from veritag.process.metrics import ASSOCIATIONS_REJECTED, count_from_zero
from veritag.settings import Settings

# Why a connection or an association is refused: labels of
# `veritag_associations_rejected_total`.
CALLING_AE_TITLE, CALLED_AE_TITLE = "calling_ae_title", "called_ae_title"
TOO_MANY_ASSOCIATIONS = "too_many_associations"
REASONS = frozenset(
    {
        CALLING_AE_TITLE,
        CALLED_AE_TITLE,
        "host",
        TOO_MANY_ASSOCIATIONS,
        "too_many_of_host",
        "too_many_connections",
        "request_timeout",
        "protocol",
        "tls_certificate",
        "tls_protocol",
        "tls_timeout",
        "other",
    }
)
# Those that say who somebody is, or is not: an audit trail wants them.
SECURITY_REASONS = frozenset(
    {CALLING_AE_TITLE, CALLED_AE_TITLE, "host", "tls_certificate", "tls_protocol"}
)

_QUIET_SECONDS = 60.0
_MOST_REMEMBERED = 1024
_MOST_TEXT = 64


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody is not let in, and the PDU that tells so."""

    reason: str
    answer: bytes


# An association that is over may wait for the peer to hang up, while the peer already
# asks for the next one; so many more may be there than are served.
SPARE_ASSOCIATIONS = 32


class Served(Protocol):
    """An association, as far as it matters here."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be served over it."""

    def is_alive(self) -> bool:
        """Whether its thread still runs."""


def take_descriptors() -> None:
    """Raise the limit of open files as far as the system lets us; often that is 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Admission:
    """The limits of one process, on all its ports together."""

    def __init__(self, settings: Settings) -> None:
        take_descriptors()
        self._networks = settings.allowed_hosts
        self._most = settings.max_associations
        self._most_of_host = settings.max_associations_per_host
        self._lock = threading.Lock()
        self._inside: list[tuple[str, Served]] = []
        self.allows = lru_cache(maxsize=4096)(self._allows)

    def _allows(self, host: str) -> bool:
        address = plain_address(host)
        return not self._networks or any(address in n for n in self._networks)

    def enter(self, host: str, start: Callable[[], Served]) -> Refusal | None:
        """Start an association if there is room for it, else return why not."""
        with self._lock:
            self._inside = [(h, a) for h, a in self._inside if a.is_alive()]
            hosts = [h for h, a in self._inside if not a.is_over]
            most = self._most + SPARE_ASSOCIATIONS
            if len(hosts) >= self._most or len(self._inside) >= most:
                return Refusal(TOO_MANY_ASSOCIATIONS, LIMIT_EXCEEDED)
            if 0 < self._most_of_host <= hosts.count(host):
                return Refusal("too_many_of_host", LIMIT_EXCEEDED)
            self._inside.append((host, start()))
        return None


def plain_address(host: str) -> object:
    """Return an IP address without its scope, and as IPv4 where it is one."""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address


class Refusals:
    """Counts every refusal, and logs the first of a kind in a minute.

    Parameters
    ----------
    alert
        Told of a logged one that is a matter of security: reason, host, detail and how
        many like it were not told since the last.
    """

    def __init__(
        self, alert: Callable[[str, str, str, int], None] | None = None
    ) -> None:
        self._alert = alert
        self._log = get_logger()
        self._lock = threading.Lock()
        # (reason, host) to when it was logged last, and how many came since.
        self._told: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        count_from_zero(ASSOCIATIONS_REJECTED, REASONS)

    def refuse(self, reason: str, detail: str = "", *, host: str) -> None:
        """Take note of a refusal.

        Parameters
        ----------
        detail
            What else is known: the calling AE title, or what was wrong. It comes from
            the network; of what is too long or not printable no more than a hint is kept.
        """
        ASSOCIATIONS_REJECTED.labels(reason=reason).inc()
        untold = self._untold(reason, host)
        if untold is None:
            return
        detail = printable(detail)
        self._log.warning(
            "association_rejected",
            reason=reason,
            peer_address=host,
            detail=detail,
            not_logged_since=untold,
        )
        if self._alert is not None and reason in SECURITY_REASONS:
            self._alert(reason, host, detail, untold)

    def _untold(self, reason: str, host: str) -> int | None:
        """Return how many like it were not told; None if this one is not either."""
        now, key = time.monotonic(), (reason, host)
        with self._lock:
            told, untold = self._told.get(key, (float("-inf"), 0))
            if now - told < _QUIET_SECONDS:
                self._told[key] = told, untold + 1
                return None
            self._told[key] = now, 0
            self._told.move_to_end(key)
            if len(self._told) > _MOST_REMEMBERED:
                self._told.popitem(last=False)
            return untold


def printable(text: str) -> str:
    """Return text from the network as it can stand in a log, whoever reads that."""
    shown = text[:_MOST_TEXT].encode("ascii", errors="backslashreplace").decode()
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in shown)
