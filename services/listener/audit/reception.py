"""Audit events of reception (PS3.15 section A.5.3).

When an association ends there is one event for each study, with the numbers of instances,
and one for the refused instances; a long association is reported in parts. An event has no
patient data, which the listener does not decode; the Study Instance UID leads to it.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from services.listener.audit.messages import (
    APPLICATION,
    APPLICATION_ACTIVITY,
    APPLICATION_START,
    APPLICATION_STOP,
    DESTINATION,
    INSTANCES_TRANSFERRED,
    MINOR_FAILURE,
    NODE_AUTHENTICATION,
    SECURITY_ALERT,
    SERIOUS_FAILURE,
    SOURCE,
    Code,
    Event,
    Participant,
    Study,
    this_process,
)
from services.listener.audit.trail import AuditTrail
from services.listener.store_rules import TooShort
from veritag.dicom.elements import STUDY_INSTANCE_UID, read_uids
from veritag.errors import UnusableInstance

# PS3.15 table A.5.3.7-1: where it is not known whether the instances are new.
_READ = "R"
_MAX_SECONDS = 900.0
_MAX_STUDIES = 100


def read_study_instance_uid(beginning: BinaryIO, transfer_syntax: str) -> str:
    """Return the Study Instance UID, empty where the bytes do not contain it."""
    try:
        uids = read_uids(beginning, transfer_syntax, (STUDY_INSTANCE_UID,))
    except (UnusableInstance, TooShort):
        return ""
    return uids.get(STUDY_INSTANCE_UID, "")


@dataclass(slots=True)
class _Tally:
    """Counts of one association that are not yet reported.

    Attributes
    ----------
    stored
        Study Instance UID to numbers of instances by SOP Class UID; the UID is empty
        where it was not read.
    refused
        Numbers of instances by reason.
    """

    sender: Participant
    since: float
    stored: dict[str, Counter[str]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def is_due(self) -> bool:
        """Whether it is to be reported before the association ends."""
        is_old = time.monotonic() - self.since > _MAX_SECONDS
        return is_old or len(self.stored) >= _MAX_STUDIES


class ReceptionAudit:
    """Reports reception to an audit trail; does nothing without channels."""

    def __init__(self, trail: AuditTrail, ae_title: str) -> None:
        self._trail = trail
        self._ae_title = ae_title
        self._lock = threading.Lock()
        self._tallies: dict[str, _Tally] = {}

    @property
    def is_enabled(self) -> bool:
        """Whether the audit trail has channels."""
        return self._trail.is_enabled

    def started(self) -> None:
        """Report the start."""
        self._report_activity(APPLICATION_START)

    def stop(self) -> None:
        """Report what is counted, and the end; deliver for a few seconds."""
        for association_id in list(self._tallies):
            self._report(association_id)
        self._report_activity(APPLICATION_STOP)
        self._trail.stop()

    def _report_activity(self, activity: Code) -> None:
        listener = this_process(self._ae_title, APPLICATION)
        self._trail.add(Event(APPLICATION_ACTIVITY, "E", (listener,), activity))

    def stored(self, assoc: Any, sop_class: str, study: str) -> None:
        """Count an instance that was acknowledged."""
        if self.is_enabled:
            with self._lock:
                tally = self._tally(assoc)
                tally.stored.setdefault(study, Counter())[sop_class] += 1
            self._report_if_due(assoc, tally)

    def refused(self, assoc: Any, reason: str) -> None:
        """Count an instance that was refused."""
        if self.is_enabled:
            with self._lock:
                tally = self._tally(assoc)
                tally.refused[reason] += 1
            self._report_if_due(assoc, tally)

    def _tally(self, assoc: Any) -> _Tally:
        tally = self._tallies.get(assoc.association_id)
        if tally is None:
            tally = _Tally(_sender(assoc), time.monotonic())
            self._tallies[assoc.association_id] = tally
        return tally

    def _report_if_due(self, assoc: Any, tally: _Tally) -> None:
        """Report a long association in parts, an instance after its end at once."""
        if tally.is_due or not assoc.is_alive():
            self.ended(assoc)

    def ended(self, assoc: Any) -> None:
        """Report an association."""
        self._report(assoc.association_id)

    def _report(self, association_id: str) -> None:
        with self._lock:
            tally = self._tallies.pop(association_id, None)
        if tally is not None:
            for event in self._events(tally):
                self._trail.add(event)

    def _events(self, tally: _Tally) -> Iterator[Event]:
        listener = this_process(self._ae_title, DESTINATION)
        participants = tally.sender, listener
        for study, classes in tally.stored.items():
            if study:
                studies = (Study(study, classes),)
                yield Event(INSTANCES_TRANSFERRED, _READ, participants, studies=studies)
            else:
                yield Event(
                    INSTANCES_TRANSFERRED,
                    _READ,
                    participants,
                    description=f"{classes.total()} instances; "
                    "Study Instance UID not read",
                )
        if tally.refused:
            reasons = (f"{r}={n}" for r, n in sorted(tally.refused.items()))
            yield Event(
                INSTANCES_TRANSFERRED,
                _READ,
                participants,
                outcome=MINOR_FAILURE,
                description=f"instances refused: {', '.join(reasons)}",
            )

    def alert(self, reason: str, host: str, detail: str, suppressed: int) -> None:
        """Report a refusal for a security reason.

        Parameters
        ----------
        suppressed
            Refusals of the same reason and host before it that were not reported.
        """
        description = f"connection refused: {reason}"
        description += f" ({detail})" if detail else ""
        if suppressed:
            description += f"; {suppressed} more like the last one"
        listener = this_process(self._ae_title)
        peer = Participant(host, is_requestor=True, address=host)
        self._trail.add(
            Event(
                SECURITY_ALERT,
                "E",
                (listener, peer),
                NODE_AUTHENTICATION,
                SERIOUS_FAILURE,
                description,
                nodes=(host,),
            )
        )


def _sender(assoc: Any) -> Participant:
    host = str(assoc.requestor.address)
    title = (assoc.requestor.ae_title or "").strip()
    return Participant(title or host, (title,), True, host, SOURCE)
