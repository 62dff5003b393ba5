"""A message during reception; its Data Set is in memory while small, else on disk.

A whole-slide image or a tomosynthesis has gigabytes. No association may fill the memory
with one, or with fragments without end.

`IncomingMessage` and `BufferingDIMSE` override `DIMSEMessage` and `DIMSEServiceProvider` of
pynetdicom 3.0, which collect each Data Set in a BytesIO.
"""

import io
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from pydicom.dataset import Dataset
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.pdu_primitives import P_DATA

from services.listener.store_command import remove_unusable_elements
from veritag.process.logs import get_logger
from veritag.storage.incoming_file import Chunk, IncomingFile
from veritag.storage.spool import Spool, SpoolFull

MEMORY_LIMIT = 4 << 20
# Bytes left free at the start of a file for the File Meta Information, written last.
HEADER_SPACE = 2048

EncodeHeader = Callable[[int | None], bytes]


class DataSetBuffer(io.BytesIO):
    """The buffer into which pynetdicom writes fragments, so a BytesIO.

    After an error of the disk, kept in `failure`, the rest of the message is read and
    discarded, so that the sender gets an answer.
    """

    def __init__(self, spool: Spool) -> None:
        super().__init__()
        self._spool = spool
        self._incoming: IncomingFile | None = None
        self.failure: OSError | SpoolFull | None = None

    def require_room(self) -> None:
        """Set `failure` when the disk has no room, before anything is written."""
        try:
            self._spool.require_room()
        except (OSError, SpoolFull) as error:
            self.failure = error

    def write(self, data: Chunk) -> int:  # type: ignore[override]
        """Append a fragment."""
        if self.failure is not None or self.closed:
            return len(data)
        if self._incoming is None and self.tell() + len(data) <= MEMORY_LIMIT:
            return super().write(data)
        try:
            self._spill().write(data)
        except (OSError, SpoolFull) as error:
            self.failure = error
            self._discard()
        return len(data)

    @property
    def on_disk(self) -> bool:
        """Whether it has outgrown MEMORY_LIMIT."""
        return self._incoming is not None

    def _spill(self) -> IncomingFile:
        if self._incoming is None:
            self._incoming = self._spool.begin()
            self._incoming.reserve_header(HEADER_SPACE)
            self._incoming.write(self.getvalue())
            self.truncate(0)
        return self._incoming

    def elements(self) -> BinaryIO:
        """Return the encoded Data Set, positioned at its first element."""
        if self._incoming is not None:
            return self._incoming.read_from(HEADER_SPACE)
        self.seek(0)
        return cast(BinaryIO, self)

    def commit(self, encode_header: EncodeHeader) -> str:
        """Make header and Data Set durable; return the spool name.

        Parameters
        ----------
        encode_header
            Returns the header, of the given length in bytes if that is not None.

        Raises
        ------
        SpoolFull
            If the reserve is reached.
        OSError
            If the disk fails or failed before; nothing is left behind.
        """
        if self.failure is not None:
            raise self.failure
        if self._incoming is None:
            with self.getbuffer() as data:
                return self._spool.store((encode_header(None), data))
        incoming, self._incoming = self._incoming, None
        try:
            incoming.write_header(encode_header(HEADER_SPACE))
        except OSError:
            incoming.discard()
            raise
        return self._spool.commit(incoming)

    def close(self) -> None:
        """Discard what was not committed."""
        self._discard()
        super().close()

    def _discard(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.discard()


class IncomingMessage(DIMSEMessage):
    """A message before its class is known from its command.

    pynetdicom changes `__class__` once the command is complete.
    """

    def __init__(self, spool: Spool) -> None:
        self.context_id = None
        self.encoded_command_set = io.BytesIO()
        self.data_set = DataSetBuffer(spool)
        self.command_set = Dataset()
        self._data_set_path = None
        self._data_set_file = None

    def decode_msg(self, primitive: P_DATA, assoc: Any = None) -> bool:
        """Add a fragment; return whether the message is complete."""
        is_complete = super().decode_msg(primitive, assoc)
        if isinstance(self, C_STORE_RQ):  # from the last fragment of the command on
            remove_unusable_elements(self.command_set)
            cast(DataSetBuffer, self.data_set).require_room()
        return is_complete


class BufferingDIMSE(DIMSEServiceProvider):
    """Receives every Data Set into a `DataSetBuffer`."""

    spool: Spool

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Add a fragment to the message in reception."""
        if self.message is None:
            self.message = IncomingMessage(self.spool)
        try:
            super().receive_primitive(primitive)
        except Exception:  # noqa: BLE001 - pydicom and pynetdicom raise anything
            # Invalid PDU (PS3.8 section 9.2.2): the state machine sends an A-ABORT.
            get_logger().warning("message_not_understood")
            self.dul.event_queue.put("Evt19")

    def discard(self) -> None:
        """Discard a message that will never be complete."""
        if self.message is not None and self.message.data_set is not None:
            self.message.data_set.close()
