"""The ledger: the C-STORE responses of each instance, by which losses are judged."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

SUCCESS = 0x0000
MISMATCH = 0xA900
OUT_OF_RESOURCES = 0xA700


@dataclass
class Fate:
    """What became of one sequence of bytes (of one digest).

    Attributes
    ----------
    begun
        C-STOREs that were begun, whether they were answered or not.
    refused
        Status to how often it came.
    """

    number: int
    altered: bool
    sop_instance_uid: str
    begun: int = 0
    acknowledged: int = 0
    refused: Counter[int] = field(default_factory=Counter)


class Ledger:
    """Counts per digest; safe for several threads."""

    def __init__(self) -> None:
        self.fates: dict[str, Fate] = {}
        self.lost = 0
        self.statuses: Counter[int] = Counter()
        self.longest_silence = 0.0
        self._last = time.monotonic()
        self._changed = threading.Condition()

    def begin(self, digest: str, number: int, uid: str, *, altered: bool) -> None:
        """Count the start of a C-STORE."""
        with self._changed:
            fate = self.fates.setdefault(digest, Fate(number, altered, uid))
            fate.begun += 1

    def answered(self, digest: str, status: int) -> None:
        """Count the status of a response."""
        with self._changed:
            self.statuses[status] += 1
            if status != SUCCESS:
                self.fates[digest].refused[status] += 1
                return
            now = time.monotonic()
            self.fates[digest].acknowledged += 1
            self.longest_silence = max(self.longest_silence, now - self._last)
            self._last = now
            self._changed.notify_all()

    def unanswered(self) -> None:
        """Count a lost or failed association."""
        with self._changed:
            self.lost += 1

    def wait_for_success(self, seconds: float) -> float | None:
        """Return the seconds until the next 0x0000, None without one."""
        begun = time.monotonic()
        with self._changed:
            before = self.statuses[SUCCESS]
            came = self._changed.wait_for(
                lambda: self.statuses[SUCCESS] > before, seconds
            )
        return time.monotonic() - begun if came else None

    @property
    def acknowledged(self) -> dict[str, Fate]:
        """The instances acknowledged with 0x0000 at least once, by digest."""
        with self._changed:
            return {d: fate for d, fate in self.fates.items() if fate.acknowledged}
