"""What reception tells the audit trail (PS3.15 section A.5.3).

One message for each association and study when the association ends, with the number
of instances, and one for what was refused; long associations are told in parts. A
message names no patient: the listener does not decode who is in the picture, and the
Study Instance UID leads there.
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

# PS3.15 table A.5.3.7-1: for who does not know whether it had the instances before.
_READ = "R"
_PART_SECONDS = 900.0
_MOST_STUDIES = 100


def study_of(beginning: BinaryIO, transfer_syntax: str) -> str:
    """Return the Study Instance UID, empty where it cannot be read from there."""
    try:
        uids = read_uids(beginning, transfer_syntax, (STUDY_INSTANCE_UID,))
    except (UnusableInstance, TooShort):
        return ""
    return uids.get(STUDY_INSTANCE_UID, "")


@dataclass(slots=True)
class _Tally:
    """What one association has brought and was not yet told.

    Attributes
    ----------
    stored
        Instances by SOP Class, by study; an empty study is one that was not read.
    refused
        Instances by reason.
    """

    sender: Participant
    since: float
    stored: dict[str, Counter[str]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def is_full(self) -> bool:
        """Whether it is time to tell."""
        is_old = time.monotonic() - self.since > _PART_SECONDS
        return is_old or len(self.stored) >= _MOST_STUDIES


class ReceptionAudit:
    """Tells what the listener did; costs next to nothing where nobody listens."""

    def __init__(self, trail: AuditTrail, ae_title: str) -> None:
        self._trail = trail
        self._ae_title = ae_title
        self._lock = threading.Lock()
        self._tallies: dict[str, _Tally] = {}

    @property
    def is_kept(self) -> bool:
        """Whether anybody wants to know."""
        return self._trail.is_kept

    def started(self) -> None:
        """Tell that we receive."""
        self._tell_activity(APPLICATION_START)

    def stop(self) -> None:
        """Tell that we receive no more, and let everything out."""
        for association_id in list(self._tallies):
            self._tell(association_id)
        self._tell_activity(APPLICATION_STOP)
        self._trail.stop()

    def _tell_activity(self, what: Code) -> None:
        us = this_process(self._ae_title, APPLICATION)
        self._trail.tell(Event(APPLICATION_ACTIVITY, "E", (us,), what))

    def stored(self, assoc: Any, sop_class: str, study: str) -> None:
        """Count an instance that was acknowledged."""
        if self.is_kept:
            with self._lock:
                tally = self._tally(assoc)
                tally.stored.setdefault(study, Counter())[sop_class] += 1
            self._tell_if_due(assoc, tally)

    def refused(self, assoc: Any, reason: str) -> None:
        """Count an instance that was refused."""
        if self.is_kept:
            with self._lock:
                tally = self._tally(assoc)
                tally.refused[reason] += 1
            self._tell_if_due(assoc, tally)

    def _tally(self, assoc: Any) -> _Tally:
        tally = self._tallies.get(assoc.association_id)
        if tally is None:
            tally = _Tally(_sender(assoc), time.monotonic())
            self._tallies[assoc.association_id] = tally
        return tally

    def _tell_if_due(self, assoc: Any, tally: _Tally) -> None:
        """Tell of a long association in parts, of what came after its end at once."""
        if tally.is_full or not assoc.is_alive():
            self.ended(assoc)

    def ended(self, assoc: Any) -> None:
        """Tell what an association has brought."""
        self._tell(assoc.association_id)

    def _tell(self, association_id: str) -> None:
        with self._lock:
            tally = self._tallies.pop(association_id, None)
        if tally is not None:
            for event in self._events(tally):
                self._trail.tell(event)

    def _events(self, tally: _Tally) -> Iterator[Event]:
        us = this_process(self._ae_title, DESTINATION)
        both = tally.sender, us
        for study, classes in tally.stored.items():
            if study:
                studies = (Study(study, classes),)
                yield Event(INSTANCES_TRANSFERRED, _READ, both, studies=studies)
            else:
                told = f"{classes.total()} instances; Study Instance UID not read"
                yield Event(INSTANCES_TRANSFERRED, _READ, both, description=told)
        if tally.refused:
            reasons = (f"{r}={n}" for r, n in sorted(tally.refused.items()))
            yield Event(
                INSTANCES_TRANSFERRED,
                _READ,
                both,
                outcome=MINOR_FAILURE,
                description=f"instances refused: {', '.join(reasons)}",
            )

    def alert(self, reason: str, host: str, detail: str, untold: int) -> None:
        """Tell that somebody was refused who may not come in.

        Parameters
        ----------
        untold
            How many like it came before and were not told one by one.
        """
        told = f"connection refused: {reason}" + (f" ({detail})" if detail else "")
        if untold:
            told += f"; {untold} more like the last one"
        us = this_process(self._ae_title)
        them = Participant(host, is_requestor=True, address=host)
        self._trail.tell(
            Event(
                SECURITY_ALERT,
                "E",
                (us, them),
                NODE_AUTHENTICATION,
                SERIOUS_FAILURE,
                told,
                nodes=(host,),
            )
        )


def _sender(assoc: Any) -> Participant:
    host = str(assoc.requestor.address)
    title = (assoc.requestor.ae_title or "").strip()
    return Participant(title or host, (title,), True, host, SOURCE)
