"""A commit held back, and the moment in which a statement waits for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from veritag.records import Records


@contextmanager
def commit_held(url: str, act: Callable[[Records], object]) -> Iterator[None]:
    """Hold what another process does just before its commit, until the block ends."""
    others = Records.open(url)
    reached, go_on = threading.Event(), threading.Event()

    def hold(_connection: Any) -> None:
        reached.set()
        assert go_on.wait(60)

    event.listen(others.engine, "commit", hold)
    thread = threading.Thread(target=act, args=(others,))
    thread.start()
    try:
        assert reached.wait(60)
        yield
    finally:
        go_on.set()
        thread.join(60)
        others.close()
    assert not thread.is_alive()


@contextmanager
def statement_sent(records: Records) -> Iterator[None]:
    """Wait at the end of the block for the first statement sent within it.

    From then on it waits for a lock that another transaction holds, if it needs one.
    """
    sent = threading.Event()

    def note(*_: object) -> None:
        sent.set()

    event.listen(records.engine, "before_cursor_execute", note)
    try:
        yield
        assert sent.wait(60)
    finally:
        event.remove(records.engine, "before_cursor_execute", note)
