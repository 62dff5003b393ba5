"""What long-running processes share: signals, waiting, checks of what they need."""

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from types import FrameType
from typing import IO

from veritag.errors import ConfigurationError, RetryableError
from veritag.process.backoff import Backoff
from veritag.process.health import Check
from veritag.process.logs import get_logger
from veritag.storage.spool import Spool, SpoolInUse

log = get_logger()

_PARENT_SECONDS = 1.0
# How long a predecessor on the same spool is given to end.
LOCK_SECONDS = 5.0


def stop_signals(stopping: threading.Event) -> None:
    """Set the event on SIGTERM and SIGINT."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def end_with_parent(parent: int, stopping: threading.Event) -> None:
    """Set the event once the process `parent` is no longer the parent of this one."""

    def watch() -> None:
        while os.getppid() == parent and not stopping.wait(_PARENT_SECONDS):
            pass
        stopping.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()


def take_uids_as_they_are() -> None:
    """Keep pydicom from warning, in plain text, of what we accept or refuse."""
    # Most processes use this module and no pydicom.
    from pydicom import config

    config.settings.reading_validation_mode = config.IGNORE
    config.settings.writing_validation_mode = config.IGNORE
    warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\b")


def claim(spool: Spool, work: str, stopping: threading.Event) -> IO[bytes]:
    """Prepare the spool and claim the work; give a predecessor time to end.

    Raises
    ------
    ConfigurationError
        If the folder cannot be used or another process goes on using it.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    try:
        spool.prepare()
        while True:
            try:
                return spool.lock(work)
            except SpoolInUse:
                if time.monotonic() > deadline or stopping.wait(0.1):
                    raise
    except SpoolInUse as error:
        raise ConfigurationError(
            f"{error}; give each its own VERITAG_DATA_DIR"
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"the spool {spool.root} cannot be used: {error.strerror}"
        ) from error


def until_available(act: Callable[[], None], stopping: threading.Event) -> bool:
    """Repeat until what `act` needs is there; False when the process shall end."""
    delays = Backoff(first=1.0, longest=30.0)
    while not stopping.is_set():
        try:
            act()
        except RetryableError as error:
            delay = delays.next()
            log.warning("waiting", reason=str(error), again_in_seconds=delay)
            stopping.wait(delay)
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
