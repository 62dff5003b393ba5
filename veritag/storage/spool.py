"""The spool: where an instance lies from its acknowledgement until it is indexed.

`incoming/` holds what is being written, `ready/` what is acknowledged. A file gets into
`ready/` only whole: written, fsynced, renamed, and the folder fsynced after that.
Names are the server's own and sort by time of reception.
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
    """Less disk is free than the operator wants to keep free."""


class SpoolInUse(RetryableError):
    """Another process does the same work on this spool."""


class Spool:
    """The spool folder of one host.

    Parameters
    ----------
    reserve_mb
        Free MB below which nothing more is stored.
    """

    def __init__(self, root: Path, reserve_mb: int = 0) -> None:
        self.root = root
        self.incoming = root / "incoming"
        self.ready = root / "ready"
        self._reserve = reserve_mb * MEGABYTE
        self._folder_sync = GroupCommit[None](lambda _: sync_folder(self.ready))

    def prepare(self) -> None:
        """Make the folders; they survive a power cut as what is put into them does."""
        for folder in (self.incoming, self.ready):
            make_folder(folder)
        # Also what another has made, who then died.
        for folder in (self.root, self.root.parent):
            sync_folder(folder)

    def sweep(self) -> int:
        """Remove what a crash left half received; it never was acknowledged."""
        leftovers = list(self.incoming.iterdir())
        for leftover in leftovers:
            # Helpers of a listener that was killed may still commit theirs.
            leftover.unlink(missing_ok=True)
        return len(leftovers)

    def lock(self, work: str) -> IO[bytes]:
        """Claim a kind of work on this spool for as long as the answer stays open.

        Raises
        ------
        SpoolInUse
            If another process has claimed it.
        """
        claim = (self.root / f"{work}.lock").open("wb")
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            claim.close()
            raise SpoolInUse(f"another {work} works on {self.root}") from error
        return claim

    def store(self, chunks: Sequence[Chunk]) -> str:
        """Make an instance durable; return its name.

        Raises
        ------
        SpoolFull
            If it would eat into the reserve.
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
        """Start a file for an instance of unknown length.

        Raises
        ------
        SpoolFull
        OSError
        """
        self.require_room()
        return self.create()

    def require_room(self) -> None:
        """Refuse to go on when the reserve is reached.

        Raises
        ------
        SpoolFull
        """
        self._require_room(0)

    def create(self) -> IncomingFile:
        """Start a file, however little room there is.

        Raises
        ------
        OSError
        """
        return IncomingFile(self.incoming / _new_name(), lambda: self._require_room(0))

    def commit(self, incoming: IncomingFile) -> str:
        """Make a begun file durable; return its name.

        Raises
        ------
        OSError
            If the disk fails; nothing is left behind.
        """
        # Named anew, so that names sort by the time of acknowledgement.
        final = self.ready / _new_name()
        try:
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
        """Return why nothing can be stored at present, None when all is well."""
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
        """Return where an acknowledged instance lies."""
        return self.ready / name

    def remove(self, name: str) -> None:
        """Let go of an instance that is safe elsewhere."""
        self.path(name).unlink(missing_ok=True)


def _new_name() -> str:
    return f"{time.time_ns():020d}-{secrets.token_hex(8)}{_SUFFIX}"


def make_folder(folder: Path, mode: int = 0o750) -> None:
    """Make a folder, and what it lies in, so that it survives a power cut."""
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True, mode=mode)
    for made in new:
        sync_folder(made.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and links in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
