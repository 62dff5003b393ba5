"""A commit of another process, held back."""

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
