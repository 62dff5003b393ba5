"""Waiting in tests for what other threads and processes do."""

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object], seconds: float = 45.0) -> None:
    """Wait until something is so, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.02)
