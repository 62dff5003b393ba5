"""The spool: the folder of instances between acknowledgement and indexing.

`incoming/` holds files that are being written, `ready/` acknowledged instances. A file
enters `ready/` complete: it is written, fsynced and renamed, then the folder is fsynced.
File names are made here, contain no received text and sort by time of reception.
"""

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from veritag.errors import RetryableError
from veritag.storage.group_commit import GroupCommit
from veritag.storage.incoming_file import Chunk, IncomingFile

MEGABYTE = 1 << 20
_SUFFIX = ".dcm"


class SpoolFull(RetryableError):
    """Less disk space is free than the configured reserve."""


class SpoolInUse(RetryableError):
    """Another process holds the lock for the same work on this spool."""


class Spool:
    """The spool folder of one host.

    Parameters
    ----------
    reserve_mb
        Free MB below which instances are refused.
    """

    def __init__(self, root: Path, reserve_mb: int = 0) -> None:
        self.root = root
        self.incoming = root / "incoming"
        self.ready = root / "ready"
        self._reserve = reserve_mb * MEGABYTE
        self._folder_sync = GroupCommit[None](lambda _: sync_folder(self.ready))

    def prepare(self) -> None:
        """Make the folders durable: they survive a power cut like the files in them."""
        for folder in (self.incoming, self.ready):
            make_folder(folder)
        # Another process may have made the folders and ended before its fsync.
        for folder in (self.root, self.root.parent):
            sync_folder(folder)

    def remove_leftovers(self) -> int:
        """Delete partly received files of a crash; none was acknowledged. Return how many."""
        leftovers = list(self.incoming.iterdir())
        for leftover in leftovers:
            # A helper of a killed listener may still commit its file at this moment.
            leftover.unlink(missing_ok=True)
        return len(leftovers)

    def lock(self, work: str) -> IO[bytes]:
        """Lock a kind of work on this spool until the returned file is closed.

        Raises
        ------
        SpoolInUse
            If another process holds the lock.
        """
        lock = (self.root / f"{work}.lock").open("wb")
        try:
            # The kernel releases it when the process ends, by SIGKILL too.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise SpoolInUse(f"another {work} works on {self.root}") from error
        return lock

    def store(self, chunks: Sequence[Chunk]) -> str:
        """Make an instance durable; return its name.

        Raises
        ------
        SpoolFull
            If the reserve would not stay free.
        OSError
            If the disk fails; nothing is left behind.
        """
        self._require_room(sum(len(chunk) for chunk in chunks))
        incoming = self.create()
        try:
            for chunk in chunks:
                incoming.write(chunk)
        except OSError:
            incoming.discard()
            raise
        return self.commit(incoming)

    def begin(self) -> IncomingFile:
        """Create a file for an instance of unknown length.

        Raises
        ------
        SpoolFull
            If the reserve is reached.
        OSError
            If the disk fails.
        """
        self.require_room()
        return self.create()

    def require_room(self) -> None:
        """Check the free disk space.

        Raises
        ------
        SpoolFull
            If the reserve is reached.
        """
        self._require_room(0)

    def create(self) -> IncomingFile:
        """Create a file without a check of the free space.

        Raises
        ------
        OSError
            If the disk fails.
        """
        return IncomingFile(self.incoming / _new_name(), lambda: self._require_room(0))

    def commit(self, incoming: IncomingFile) -> str:
        """Make a received file durable; return its name. The caller then answers 0x0000.

        Raises
        ------
        OSError
            If the disk fails; nothing is left behind.
        """
        # A new name, so that names sort by the time of acknowledgement.
        final = self.ready / _new_name()
        try:
            # Crash order: content, then the name in ready/, then the folder's own entry.
            # A crash before the last step leaves nothing that a sender was told is safe.
            incoming.sync()
            incoming.path.rename(final)
            self._folder_sync.do(None)
        except OSError:
            incoming.discard()
            final.unlink(missing_ok=True)
            raise
        incoming.close()
        return final.name

    def _require_room(self, size: int) -> None:
        if self.free_bytes() - size < self._reserve:
            raise SpoolFull(
                f"less than {self._reserve // MEGABYTE} MB are free on {self.root}"
            )

    def free_bytes(self) -> int:
        """Return the free bytes of the spool's file system."""
        return shutil.disk_usage(self.root).free

    def problem(self) -> str | None:
        """Return why no instance can be stored now, None if all is well."""
        probe = self.incoming / f"probe-{os.getpid()}"
        try:
            self._require_room(0)
            probe.write_bytes(b"")
            probe.unlink()
        except SpoolFull as error:
            return str(error)
        except OSError as error:
            reason = os.strerror(error.errno or errno.EIO)
            return f"{self.incoming} cannot be written: {reason}"
        return None

    def names(self) -> list[str]:
        """Return the names of acknowledged instances, oldest first."""
        with os.scandir(self.ready) as entries:
            return sorted(e.name for e in entries if e.name.endswith(_SUFFIX))

    def path(self, name: str) -> Path:
        """Return the file of an acknowledged instance."""
        return self.ready / name

    def remove(self, name: str) -> None:
        """Delete an instance that is stored elsewhere."""
        self.path(name).unlink(missing_ok=True)


def _new_name() -> str:
    # The time orders the names; the random part tells associations and processes apart.
    return f"{time.time_ns():020d}-{secrets.token_hex(8)}{_SUFFIX}"


def make_folder(folder: Path, mode: int = 0o750) -> None:
    """Make a folder and its parents durable: they survive a power cut."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True, mode=mode)
    # The entry of a folder is in its parent: without this sync a power cut removes it.
    for made in missing:
        sync_folder(made.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and links in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
