"""Folders that appear whole or not at all, and plain errors for a full disk."""

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
    """Turn a disk error into one that names `what` could not be written.

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
    """Yield a new folder in `parent`, which is removed unless it is published."""
    parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    work = Path(tempfile.mkdtemp(prefix=PART, dir=parent))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def publish_folder(work: Path, place: Path) -> None:
    """Rename a folder of plain files to `place` once all of it is on the disk.

    Files and folder are synced before the rename: after a crash `place` is whole.
    """
    for file in work.iterdir():
        _sync(file)
    sync_folder(work)
    # The rename is atomic; the parent is synced so that it survives a crash.
    work.rename(place)
    sync_folder(place.parent)


def remove_unpublished(folder: Path) -> None:
    """Remove the unpublished folders of killed runs; no other process may be writing."""
    for part in folder.glob(f"{PART}*"):
        shutil.rmtree(part, ignore_errors=True)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
