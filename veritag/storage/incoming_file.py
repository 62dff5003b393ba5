"""A file of the spool while an instance comes in, until it counts as acknowledged."""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_STEP = 64 << 20
_HURRY = 1 << 16

Chunk = bytes | bytearray | memoryview


def sync_file(descriptor: int) -> None:
    """Make a file durable; on macOS fsync() leaves it in the memory of the drive."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is None:
        os.fsync(descriptor)
    else:
        fcntl.fcntl(descriptor, full)


class IncomingFile:
    """A file in `incoming/` that grows while an instance comes in.

    It is written without a buffer of its own: fragments are large.
    """

    def __init__(self, path: Path, check: Callable[[], None]) -> None:
        self.path = path
        self._check = check
        self._written = self._synced = self._hurried = 0
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
            sync_file(self._descriptor)
            self._synced = self._written

    def hurry(self) -> None:
        """Let the disk begin with what was written, long before it must be done."""
        if self._written - self._hurried >= _HURRY and hasattr(os, "posix_fadvise"):
            # Linux then starts to write; what is not yet written stays in memory.
            os.posix_fadvise(self._descriptor, self._hurried, 0, os.POSIX_FADV_DONTNEED)
            self._hurried = self._written

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
        sync_file(self._descriptor)

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
