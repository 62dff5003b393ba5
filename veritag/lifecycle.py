"""What long-running processes share: signals, waiting, checks of what they need."""

import signal
import threading
from collections.abc import Callable
from types import FrameType

from veritag.errors import RetryableError
from veritag.health import Check
from veritag.logs import get_logger

log = get_logger()

_RETRY_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 30.0


def stop_signals(stopping: threading.Event) -> None:
    """Set the event on SIGTERM and SIGINT."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def until_available(act: Callable[[], None], stopping: threading.Event) -> bool:
    """Repeat until what `act` needs is there; False when the process shall end."""
    wait = _RETRY_SECONDS
    while not stopping.is_set():
        try:
            act()
        except RetryableError as error:
            log.warning("waiting", reason=str(error), again_in_seconds=wait)
            stopping.wait(wait)
            wait = min(2 * wait, _LONGEST_RETRY_SECONDS)
        else:
            return True
    return False


def answers(ask: Callable[[], None]) -> Check:
    """Return a check of a dependency that raises RetryableError while it is away."""

    def check() -> str | None:
        try:
            ask()
        except RetryableError as error:
            return str(error)
        return None

    return check
