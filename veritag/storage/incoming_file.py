"""The file of an instance during its reception, before its acknowledgement."""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

# Bytes after which a long file is synced, and after which the disk may start to write.
_SYNC_STEP = 64 << 20
_WRITEBACK_STEP = 1 << 16

Chunk = bytes | bytearray | memoryview


def sync_file(descriptor: int) -> None:
    """Make a file durable."""
    # On macOS fsync() does not empty the cache of the drive; F_FULLFSYNC does.
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is None:
        os.fsync(descriptor)
    else:
        fcntl.fcntl(descriptor, full)


class IncomingFile:
    """A file in `incoming/` that grows while an instance is received.

    It is written without a buffer: the fragments are large.

    Parameters
    ----------
    check
        Raises if too little disk space is free; called every 64 MiB.
    """

    def __init__(self, path: Path, check: Callable[[], None]) -> None:
        self.path = path
        self._check = check
        self._written = self._synced = self._writeback = 0
        self._reader: BinaryIO | None = None
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o640)

    def reserve_header(self, header_space: int) -> None:
        """Leave space at the beginning, which `write_header` fills."""
        os.lseek(self._descriptor, header_space, os.SEEK_SET)

    def write(self, data: Chunk) -> None:
        """Append; a long file is synced in steps, so that its last fsync is short."""
        count = os.write(self._descriptor, data)
        # A full disk writes a part; only the next call raises the error.
        while count < len(data):
            count += os.write(self._descriptor, data[count:])
        self._written += count
        if self._written - self._synced >= _SYNC_STEP:
            self._check()
            sync_file(self._descriptor)
            self._synced = self._written

    def start_writeback(self) -> None:
        """Let the disk start to write, so that the fsync at the end is short."""
        if self._written - self._writeback >= _WRITEBACK_STEP and hasattr(
            os, "posix_fadvise"
        ):
            # On Linux this starts the write; unwritten pages stay in memory.
            os.posix_fadvise(
                self._descriptor, self._writeback, 0, os.POSIX_FADV_DONTNEED
            )
            self._writeback = self._written

    def write_header(self, header: bytes) -> None:
        """Fill the space at the beginning of the file."""
        if os.pwrite(self._descriptor, header, 0) != len(header):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def read_from(self, position: int) -> BinaryIO:
        """Return the part of the file that is written so far, opened at a position."""
        if self._reader is None:
            self._reader = self.path.open("rb")
        self._reader.seek(position)
        return self._reader

    def sync(self) -> None:
        """Make the content durable."""
        sync_file(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def discard(self) -> None:
        """Close and delete the file."""
        self.close()
        self.path.unlink(missing_ok=True)
