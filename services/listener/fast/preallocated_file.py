"""A spool file made ahead, while the peer makes its next request ready."""

import contextlib

from veritag.storage.incoming_file import IncomingFile
from veritag.storage.spool import Spool


class PreallocatedFile:
    """A file made before it is asked for: to make one can take as long as to fill it."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self._incoming: IncomingFile | None = None

    def prepare(self) -> None:
        """Make one; where that fails, `begin` will say so."""
        if self._incoming is None:
            with contextlib.suppress(OSError):
                self._incoming = self.spool.create()

    def begin(self) -> IncomingFile:
        """Start a file for an instance of unknown length.

        Raises
        ------
        SpoolFull
        OSError
        """
        self.spool.require_room()
        incoming, self._incoming = self._incoming, None
        return incoming or self.spool.create()

    def discard(self) -> None:
        """Remove what was made in vain."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.discard()
