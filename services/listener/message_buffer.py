"""A message while it comes in; its Data Set in memory while small, else on disk.

A whole-slide image or a tomosynthesis has gigabytes; no association may fill the memory
with one, nor with fragments that never end.
"""

import io
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from pydicom.dataset import Dataset
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.pdu_primitives import P_DATA

from services.listener.command_elements import keep_usable
from veritag.process.logs import get_logger
from veritag.storage.incoming_file import Chunk, IncomingFile
from veritag.storage.spool import Spool, SpoolFull

MEMORY_LIMIT = 4 << 20
# File Meta Information that is written last, before what is there already.
HEADER_SPACE = 2048

EncodeHeader = Callable[[int | None], bytes]


class DataSetBuffer(io.BytesIO):
    """What pynetdicom writes fragments into; it insists on a BytesIO.

    A failing disk is remembered in `failure` and the rest of the message is read and
    forgotten, so that the sender gets an answer.
    """

    def __init__(self, spool: Spool) -> None:
        super().__init__()
        self._spool = spool
        self._incoming: IncomingFile | None = None
        self.failure: OSError | SpoolFull | None = None

    def require_room(self) -> None:
        """Take nothing in when there is no room, which is known from the start."""
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
        """Tell whether it has grown out of memory."""
        return self._incoming is not None

    def _spill(self) -> IncomingFile:
        if self._incoming is None:
            self._incoming = self._spool.begin()
            self._incoming.leave(HEADER_SPACE)
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
            Makes the header, of the given length if that is not None.

        Raises
        ------
        SpoolFull
        OSError
        """
        if self.failure is not None:
            raise self.failure
        if self._incoming is None:
            with self.getbuffer() as data:
                return self._spool.store((encode_header(None), data))
        incoming, self._incoming = self._incoming, None
        try:
            incoming.put(encode_header(HEADER_SPACE))
        except OSError:
            incoming.discard()
            raise
        return self._spool.commit(incoming)

    def close(self) -> None:
        """Forget what was not committed."""
        self._discard()
        super().close()

    def _discard(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.discard()


class IncomingMessage(DIMSEMessage):
    """A message of which the command is not complete; then pynetdicom knows its class."""

    def __init__(self, spool: Spool) -> None:
        self.context_id = None
        self.encoded_command_set = io.BytesIO()
        self.data_set = DataSetBuffer(spool)
        self.command_set = Dataset()
        self._data_set_path = None
        self._data_set_file = None

    def decode_msg(self, primitive: P_DATA, assoc: Any = None) -> bool:
        """Take a part; return whether the message is complete."""
        is_complete = super().decode_msg(primitive, assoc)
        if isinstance(self, C_STORE_RQ):
            keep_usable(self.command_set)
            cast(DataSetBuffer, self.data_set).require_room()
        return is_complete


class BufferingDIMSE(DIMSEServiceProvider):
    """Receives every Data Set into a `DataSetBuffer`."""

    spool: Spool

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take a part of a message."""
        if self.message is None:
            self.message = IncomingMessage(self.spool)
        try:
            super().receive_primitive(primitive)
        except Exception:  # noqa: BLE001 - pydicom and pynetdicom raise anything
            # Invalid PDU (PS3.8 section 9.2.2): the state machine sends an A-ABORT.
            get_logger().warning("message_not_understood")
            self.dul.event_queue.put("Evt19")

    def forget(self) -> None:
        """Let go of a message that will never be complete."""
        if self.message is not None and self.message.data_set is not None:
            self.message.data_set.close()
