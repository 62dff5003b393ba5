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
from pathlib import Path
from typing import IO, BinaryIO

from veritag.errors import RetryableError

MEGABYTE = 1 << 20
_SUFFIX = ".dcm"
_STEP = 64 * MEGABYTE

Chunk = bytes | bytearray | memoryview


class SpoolFull(RetryableError):
    """Less disk is free than the operator wants to keep free."""


class SpoolInUse(RetryableError):
    """Another process does the same work on this spool."""


class Incoming:
    """A file in `incoming/` that grows while an instance comes in."""

    def __init__(
        self, path: Path, header_space: int, check: Callable[[], None]
    ) -> None:
        self.path = path
        self._check = check
        self._written = self._synced = 0
        self._file = _create(path)
        self._file.seek(header_space)

    def write(self, data: Chunk) -> None:
        """Append; a long file is written to disk in steps, not all at its end."""
        self._file.write(data)
        self._written += len(data)
        if self._written - self._synced >= _STEP:
            self._check()
            self._file.flush()
            os.fdatasync(self._file.fileno())
            self._synced = self._written

    def read_from(self, position: int) -> BinaryIO:
        """Return the file, to be read from there on."""
        self._file.flush()
        self._file.seek(position)
        return self._file

    def finish(self, header: bytes) -> None:
        """Put the header into its space and make all durable."""
        self._file.seek(0)
        self._file.write(header)
        _finish(self._file)

    def discard(self) -> None:
        """Remove it."""
        self._file.close()
        self.path.unlink(missing_ok=True)


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

    def prepare(self) -> None:
        """Make the folders."""
        for folder in (self.incoming, self.ready):
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)

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
        part = self.incoming / _new_name()
        try:
            with _create(part) as file:
                for chunk in chunks:
                    file.write(chunk)
                _finish(file)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        return self._publish(part)

    def begin(self, header_space: int) -> Incoming:
        """Start a file for an instance of unknown length, with space for its header.

        Raises
        ------
        SpoolFull
        OSError
        """
        self._require_room(0)
        path = self.incoming / _new_name()
        return Incoming(path, header_space, lambda: self._require_room(0))

    def commit(self, incoming: Incoming, header: bytes) -> str:
        """Make a begun file durable; return its name.

        Raises
        ------
        OSError
            If the disk fails; nothing is left behind.
        """
        try:
            incoming.finish(header)
        except OSError:
            incoming.discard()
            raise
        return self._publish(incoming.path)

    def _publish(self, part: Path) -> str:
        """Move a durable file to where it counts as acknowledged."""
        # Named anew, so that names sort by the time of acknowledgement.
        final = self.ready / _new_name()
        try:
            part.rename(final)
            sync_folder(self.ready)
        except OSError:
            for path in (part, final):
                path.unlink(missing_ok=True)
            raise
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


def _create(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    return os.fdopen(descriptor, "w+b")


def _finish(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()


def sync_folder(folder: Path) -> None:
    """Make renames and links in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
