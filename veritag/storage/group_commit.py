"""Group commit: callers that wait at the same time share one fsync.

A disk that takes 10 ms for an fsync allows 100 per second. The first caller starts the
work at once; callers that arrive while it runs are served together by the next one.
"""

import errno
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Waiter(Generic[T]):
    item: T
    done: bool = False
    error: OSError | None = None


class GroupCommit(Generic[T]):
    """Runs one function for all items that wait for it.

    Parameters
    ----------
    work
        Called with one or more items, by one thread at a time. An error that it raises
        is the error of all these items.
    """

    def __init__(self, work: Callable[[Sequence[T]], None]) -> None:
        self._work = work
        self._waiting: list[_Waiter[T]] = []
        self._busy = False
        self._changed = threading.Condition(threading.Lock())

    def do(self, item: T) -> None:
        """Wait for a run of the work that begins after this call; return after its end.

        Raises
        ------
        OSError
            The error of that run.
        """
        waiter = _Waiter(item)
        with self._changed:
            self._waiting.append(waiter)
            while self._busy and not waiter.done:
                self._changed.wait()
            if not waiter.done:
                # No run is in progress: this caller runs the work for all that wait.
                self._busy = True
                batch, self._waiting = self._waiting, []
        if not waiter.done:
            self._run(batch)
        if waiter.error is not None:
            raise waiter.error

    def _run(self, batch: Sequence[_Waiter[T]]) -> None:
        # If another exception ends the work, the waiting callers must not see success.
        error: OSError | None = OSError(errno.EIO, "the work was interrupted")
        try:
            self._work([waiter.item for waiter in batch])
            error = None
        except OSError as failure:
            error = failure
        finally:
            with self._changed:
                for waiter in batch:
                    waiter.error, waiter.done = error, True
                self._busy = False
                self._changed.notify_all()
