"""A spool file created in advance, while the peer prepares its next request."""

import contextlib

from veritag.storage.incoming_file import IncomingFile
from veritag.storage.spool import Spool


class PreallocatedFile:
    """A file for the next instance: creating one can take as long as writing it."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self._incoming: IncomingFile | None = None

    def prepare(self) -> None:
        """Create the file; after a failure `begin` tries again and raises."""
        if self._incoming is None:
            with contextlib.suppress(OSError):
                self._incoming = self.spool.create()

    def begin(self) -> IncomingFile:
        """Return a file for an instance of unknown length.

        Raises
        ------
        SpoolFull
            If the reserve is reached.
        OSError
            If the disk fails.
        """
        self.spool.require_room()
        incoming, self._incoming = self._incoming, None
        return incoming or self.spool.create()

    def discard(self) -> None:
        """Remove the file if it was not used."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.discard()
