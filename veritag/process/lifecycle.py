"""Start and end of services: signals, locks, waiting for dependencies."""

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
# Longest wait for an earlier process on the same spool to end.
LOCK_SECONDS = 5.0


def stop_on_signals(stopping: threading.Event) -> None:
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


def disable_pydicom_validation() -> None:
    """Turn off the checks and warnings of pydicom: Veritag has its own checks."""
    # Imported here: most users of this module do not need pydicom.
    from pydicom import config

    config.settings.reading_validation_mode = config.IGNORE
    config.settings.writing_validation_mode = config.IGNORE
    warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\b")


def claim_spool(spool: Spool, work: str, stopping: threading.Event) -> IO[bytes]:
    """Prepare the spool and lock the work; wait some seconds for an earlier process.

    Raises
    ------
    ConfigurationError
        If the folder cannot be used or another process keeps using it.
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


def retry_until_available(
    action: Callable[[], None], stopping: threading.Event
) -> bool:
    """Call `action` until it succeeds; return False if the process has to stop first."""
    delays = Backoff(first=1.0, longest=30.0)
    while not stopping.is_set():
        try:
            action()
        except RetryableError as error:
            delay = delays.next()
            log.warning("waiting", reason=str(error), retry_in_seconds=delay)
            stopping.wait(delay)
        else:
            return True
    return False


def availability_check(ping: Callable[[], None]) -> Check:
    """Return a check from a function that raises RetryableError while it fails."""

    def check() -> str | None:
        try:
            ping()
        except RetryableError as error:
            return str(error)
        return None

    return check
