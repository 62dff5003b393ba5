"""Work that costs little more for many than for one: who comes while it runs, joins in.

A disk that takes 10 ms for an fsync allows 100 in a second, however many wait. Whoever
finds nobody at work does the work for all that wait, and nobody waits for company.
"""

import errno
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Turn(Generic[T]):
    item: T
    done: bool = False
    error: OSError | None = None


class GroupCommit(Generic[T]):
    """Does a work for all that wait for it.

    Parameters
    ----------
    work
        Done for one or more items, by one thread at a time. What it raises, all of
        these items have met.
    """

    def __init__(self, work: Callable[[Sequence[T]], None]) -> None:
        self._work = work
        self._waiting: list[_Turn[T]] = []
        self._busy = False
        self._changed = threading.Condition(threading.Lock())

    def do(self, item: T) -> None:
        """Return when the work was begun after this call, and is done.

        Raises
        ------
        OSError
            What the work raised.
        """
        turn = _Turn(item)
        with self._changed:
            self._waiting.append(turn)
            while self._busy and not turn.done:
                self._changed.wait()
            if not turn.done:
                self._busy = True
                turns, self._waiting = self._waiting, []
        if not turn.done:
            self._lead(turns)
        if turn.error is not None:
            raise turn.error

    def _lead(self, turns: Sequence[_Turn[T]]) -> None:
        # Whatever else may end the work, nobody may take it for done.
        error: OSError | None = OSError(errno.EIO, "the work was broken off")
        try:
            self._work([turn.item for turn in turns])
            error = None
        except OSError as failure:
            error = failure
        finally:
            with self._changed:
                for turn in turns:
                    turn.error, turn.done = error, True
                self._busy = False
                self._changed.notify_all()
