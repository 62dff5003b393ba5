"""Limits on hosts and numbers of associations, and the log of refusals."""

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
from veritag.dicom.printable import escape_unprintable
from veritag.process.logs import get_logger
from veritag.process.metrics import ASSOCIATIONS_REJECTED, count_from_zero
from veritag.settings import Settings

# Reasons to refuse a connection or an association: labels of
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
# Reasons that concern the identity of a peer, for the audit trail.
SECURITY_REASONS = frozenset(
    {CALLING_AE_TITLE, CALLED_AE_TITLE, "host", "tls_certificate", "tls_protocol"}
)

_QUIET_SECONDS = 60.0
_MAX_LOGGED = 1024
_MAX_DETAIL = 64


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason to refuse, and the PDU that answers the peer."""

    reason: str
    answer: bytes


# An association that is over may wait for the peer to close, while the peer already
# requests the next one. That many may exist beyond those that are served.
MAX_ENDING_ASSOCIATIONS = 32


class AdmittedAssociation(Protocol):
    """The part of an association that the limits depend on."""

    @property
    def is_over(self) -> bool:
        """Whether it serves no more requests."""

    def is_alive(self) -> bool:
        """Whether its thread runs."""


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open files, often 1,024, to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Admission:
    """The limits of one process, for all its ports together."""

    def __init__(self, settings: Settings) -> None:
        raise_descriptor_limit()
        self._networks = settings.allowed_hosts
        self._max = settings.max_associations
        self._max_of_host = settings.max_associations_per_host
        self._lock = threading.Lock()
        self._admitted: list[tuple[str, AdmittedAssociation]] = []
        self.allows = lru_cache(maxsize=4096)(self._allows)

    def _allows(self, host: str) -> bool:
        address = plain_address(host)
        return not self._networks or any(address in n for n in self._networks)

    def admit(
        self, host: str, start: Callable[[], AdmittedAssociation]
    ) -> Refusal | None:
        """Start an association if the limits allow it, else return the reason."""
        with self._lock:
            self._admitted = [(h, a) for h, a in self._admitted if a.is_alive()]
            hosts = [h for h, a in self._admitted if not a.is_over]
            max_alive = self._max + MAX_ENDING_ASSOCIATIONS
            if len(hosts) >= self._max or len(self._admitted) >= max_alive:
                return Refusal(TOO_MANY_ASSOCIATIONS, LIMIT_EXCEEDED)
            if 0 < self._max_of_host <= hosts.count(host):
                return Refusal("too_many_of_host", LIMIT_EXCEEDED)
            self._admitted.append((host, start()))
        return None


def plain_address(host: str) -> object:
    """Return an IP address without its scope; an IPv4-mapped one as IPv4."""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address


class Refusals:
    """Counts every refusal, and logs the first of a reason and host in a minute.

    Parameters
    ----------
    alert
        Called for each logged refusal with a security reason: with reason, host, detail
        and the number of refusals that were not logged since the last one.
    """

    def __init__(
        self, alert: Callable[[str, str, str, int], None] | None = None
    ) -> None:
        self._alert = alert
        self._log = get_logger()
        self._lock = threading.Lock()
        # (reason, host) to the time of the last log line, and the refusals since.
        self._logged: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        count_from_zero(ASSOCIATIONS_REJECTED, REASONS)

    def refuse(self, reason: str, detail: str = "", *, host: str) -> None:
        """Count a refusal, and log it unless one like it was logged within a minute.

        Parameters
        ----------
        detail
            The calling AE title, or the problem. It may come from the network: it is cut
            to 64 characters, and those that are not printable are escaped.
        """
        ASSOCIATIONS_REJECTED.labels(reason=reason).inc()
        suppressed = self._suppressed(reason, host)
        if suppressed is None:
            return
        detail = escape_unprintable(detail[:_MAX_DETAIL])
        self._log.warning(
            "association_rejected",
            reason=reason,
            peer_address=host,
            detail=detail,
            not_logged_since=suppressed,
        )
        if self._alert is not None and reason in SECURITY_REASONS:
            self._alert(reason, host, detail, suppressed)

    def _suppressed(self, reason: str, host: str) -> int | None:
        """Return the number of unlogged refusals; None if this one is not logged either."""
        now, key = time.monotonic(), (reason, host)
        with self._lock:
            logged_at, suppressed = self._logged.get(key, (float("-inf"), 0))
            if now - logged_at < _QUIET_SECONDS:
                self._logged[key] = logged_at, suppressed + 1
                return None
            self._logged[key] = now, 0
            self._logged.move_to_end(key)
            if len(self._logged) > _MAX_LOGGED:
                self._logged.popitem(last=False)
            return suppressed
