"""Waiting in tests for other threads and processes."""

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object], seconds: float = 45.0) -> None:
    """Wait until a condition is true, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.02)
