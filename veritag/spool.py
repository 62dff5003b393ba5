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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from veritag.errors import RetryableError
from veritag.together import Together

MEGABYTE = 1 << 20
_SUFFIX = ".dcm"
_STEP = 64 * MEGABYTE

Chunk = bytes | bytearray | memoryview


class SpoolFull(RetryableError):
    """Less disk is free than the operator wants to keep free."""


class SpoolInUse(RetryableError):
    """Another process does the same work on this spool."""


class Incoming:
    """A file in `incoming/` that grows while an instance comes in.

    It is written without a buffer of its own: fragments are large.
    """

    def __init__(self, path: Path, check: Callable[[], None]) -> None:
        self.path = path
        self._check = check
        self._written = self._synced = 0
        self._reader: BinaryIO | None = None
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o640)

    def leave(self, header_space: int) -> None:
        """Leave space at the beginning, to be filled by `put`."""
        os.lseek(self._descriptor, header_space, os.SEEK_SET)

    def write(self, data: Chunk) -> None:
        """Append; a long file is written to disk in steps, not all at its end."""
        count = os.write(self._descriptor, data)
        # A full disk takes a part, and says why only when asked for the rest.
        while count < len(data):
            count += os.write(self._descriptor, data[count:])
        self._written += count
        if self._written - self._synced >= _STEP:
            self._check()
            os.fdatasync(self._descriptor)
            self._synced = self._written

    def put(self, header: bytes) -> None:
        """Fill the space at the beginning."""
        if os.pwrite(self._descriptor, header, 0) != len(header):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def read_from(self, position: int) -> BinaryIO:
        """Return the file as it is so far, to be read from there on."""
        if self._reader is None:
            self._reader = self.path.open("rb")
        self._reader.seek(position)
        return self._reader

    def sync(self) -> None:
        """Make what was written durable."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file."""
        if self._reader is not None:
            self._reader.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def discard(self) -> None:
        """Remove it."""
        self.close()
        self.path.unlink(missing_ok=True)


class Spool:
    """The spool folder of one host.

    Parameters
    ----------
    reserve_mb
        Free MB below which nothing more is stored.
    group_commit
        Make files durable one group after the other in place of all at the same time:
        faster where the disk takes milliseconds for each fsync.
    """

    def __init__(
        self, root: Path, reserve_mb: int = 0, *, group_commit: bool = False
    ) -> None:
        self.root = root
        self.incoming = root / "incoming"
        self.ready = root / "ready"
        self._reserve = reserve_mb * MEGABYTE
        self._group_commit = Together(_publish_group) if group_commit else None
        self._folder_sync = Together[None](lambda _: sync_folder(self.ready))

    def prepare(self) -> None:
        """Make the folders; they survive a power cut as what is put into them does."""
        for folder in (self.incoming, self.ready):
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        for folder in (self.root, self.root.parent):
            sync_folder(folder)

    def sweep(self) -> int:
        """Remove what a crash left half received; it never was acknowledged."""
        leftovers = list(self.incoming.iterdir())
        for leftover in leftovers:
            leftover.unlink()
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
        incoming = self._create()
        try:
            for chunk in chunks:
                incoming.write(chunk)
        except OSError:
            incoming.discard()
            raise
        return self.commit(incoming)

    def begin(self) -> Incoming:
        """Start a file for an instance of unknown length.

        Raises
        ------
        SpoolFull
        OSError
        """
        self._require_room(0)
        return self._create()

    def _create(self) -> Incoming:
        return Incoming(self.incoming / _new_name(), lambda: self._require_room(0))

    def commit(self, incoming: Incoming) -> str:
        """Make a begun file durable; return its name.

        Raises
        ------
        OSError
            If the disk fails; nothing is left behind.
        """
        # Named anew, so that names sort by the time of acknowledgement.
        part = Part(incoming, self.ready / _new_name())
        try:
            if self._group_commit:
                self._group_commit.do(part)
                if part.error:
                    raise part.error
            else:
                part.publish()
                self._folder_sync.do(None)
        except OSError:
            incoming.discard()
            part.final.unlink(missing_ok=True)
            raise
        incoming.close()
        return part.final.name

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


@dataclass(eq=False, slots=True)
class Part:
    """A whole file on its way to where it counts as acknowledged."""

    incoming: Incoming
    final: Path
    error: OSError | None = None

    def publish(self) -> None:
        """Make it durable, then give it its final name."""
        self.incoming.sync()
        self.incoming.path.rename(self.final)


def _publish_group(parts: Sequence[Part]) -> None:
    """Make several files durable with one fsync of their folder.

    The first file's fsync writes the journal for all; the folder's comes after all.
    """
    for part in parts:
        try:
            part.publish()
        except OSError as error:
            part.error = error
    sync_folder(parts[0].final.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and links in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
