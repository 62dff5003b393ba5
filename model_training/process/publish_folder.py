"""Writing to disk so that nothing is half there, and saying plainly why it failed."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from veritag.errors import StopError
from veritag.storage.spool import sync_folder

PART = ".part-"

_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Say of `what` that it could not be written, and what to do.

    Raises
    ------
    StopError
        In place of the OSError of a full, read-only or failing disk.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StopError(
                f"the disk is full: {what} could not be written; free some space "
                "or learn from fewer images"
            ) from error
        reason = os.strerror(error.errno or errno.EIO)
        raise StopError(f"{what} could not be read or written: {reason}") from error


@contextmanager
def unpublished_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder to work in; what is not published of it is removed."""
    parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    work = Path(tempfile.mkdtemp(prefix=PART, dir=parent))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def publish_folder(work: Path, place: Path) -> None:
    """Let a folder of plain files become `place` once all of it is on the disk."""
    for file in work.iterdir():
        _sync(file)
    sync_folder(work)
    work.rename(place)
    sync_folder(place.parent)


def remove_unpublished(folder: Path) -> None:
    """Remove what runs that were killed left behind; nobody else may be writing."""
    for part in folder.glob(f"{PART}*"):
        shutil.rmtree(part, ignore_errors=True)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
