"""An instance in reception, written from the network directly to its spool file."""

from typing import Any

from services.listener.audit.reception import read_study_instance_uid
from services.listener.fast.preallocated_file import PreallocatedFile
from services.listener.handlers import Reception
from services.listener.store_rules import (
    AcceptedContext,
    DataSetBeginning,
    StoreRequest,
    TooShort,
    part10_header,
    refusing_disk_failures,
    require_matching_uids,
    require_storable,
)
from services.listener.store_status import NOT_UNDERSTOOD, SUCCESS, StoreRefused
from veritag.process.metrics import RECEPTION_SECONDS
from veritag.storage.incoming_file import IncomingFile

# Bytes that nearly always contain SOP Class and SOP Instance UID.
_COMPARED_BYTES = 4096
# Bytes that nearly always contain the Study Instance UID, for the audit trail.
_STUDY_BYTES = 1 << 16


class IncomingStore:
    """Writes the fragments of one Data Set.

    Fragments after a refusal are discarded, so that the sender gets an answer and the
    association continues.
    """

    def __init__(
        self,
        reception: Reception,
        file: PreallocatedFile,
        assoc: Any,
        request: StoreRequest,
        context: AcceptedContext,
    ) -> None:
        self.request = request
        self._reception = reception
        self._file = file
        self._assoc = assoc
        self._context = context
        self._incoming: IncomingFile | None = None
        self._header_length = 0
        self._is_compared = False
        self._refusal: StoreRefused | None = None
        self._name = ""
        self._beginning = b""

    def begin(self) -> None:
        """Check the command and get a file; without a refusal writing may begin."""
        try:
            self._reception.require_authorized(self._assoc)
            require_storable(self.request, self._context)
            with refusing_disk_failures():
                self._incoming = self._file.begin()
        except StoreRefused as refusal:
            self._refuse(refusal)

    def write(self, fragment: memoryview) -> None:
        """Write a fragment."""
        if self._incoming is None:
            return
        try:
            if not self._header_length:
                self._write_header(self._incoming)
                self._compare_beginning(fragment)
                if self._reception.audit.is_enabled:
                    self._beginning = bytes(fragment[:_STUDY_BYTES])
            with refusing_disk_failures():
                self._incoming.write(fragment)
        except StoreRefused as refusal:
            self._refuse(refusal)

    def _write_header(self, incoming: IncomingFile) -> None:
        header = part10_header(self._assoc, self.request, self._context)
        with refusing_disk_failures():
            incoming.write(header)
        self._header_length = len(header)

    def _compare_beginning(self, fragment: memoryview) -> None:
        try:
            require_matching_uids(
                DataSetBeginning(fragment[:_COMPARED_BYTES]),
                self.request,
                self._context,
            )
        except TooShort:
            return  # `_commit` compares the complete file
        self._is_compared = True

    def start_writeback(self) -> None:
        """Let the disk start writing before the fsync."""
        if self._incoming is not None:
            self._incoming.start_writeback()

    def finish(self) -> tuple[int, str]:
        """Make the instance durable; return status and Error Comment for the sender."""
        try:
            with RECEPTION_SECONDS.time():
                self._name = self._commit()
        except StoreRefused as refusal:
            self._refuse(refusal)
            return refusal.status.code, refusal.comment
        return SUCCESS.code, ""

    @property
    def is_stored(self) -> bool:
        """Whether the instance is durable."""
        return bool(self._name)

    def account(self) -> None:
        """Count, audit and log; after the answer, which it would delay."""
        if self._refusal is not None:
            self._reception.refused(self._assoc, self._refusal)
        elif self.is_stored:
            study = ""
            if self._beginning:
                beginning = DataSetBeginning(self._beginning)
                study = read_study_instance_uid(
                    beginning, self._context.transfer_syntax
                )
            self._reception.stored(self._assoc, self.request, self._name, study)

    def _commit(self) -> str:
        if self._refusal is not None:
            raise self._refusal
        incoming = self._incoming
        if incoming is None or not self._header_length:
            raise StoreRefused(NOT_UNDERSTOOD, "The message has no Data Set")
        if not self._is_compared:
            with refusing_disk_failures():
                elements = incoming.read_from(self._header_length)
                require_matching_uids(elements, self.request, self._context)
        self._incoming = None  # from here on the spool removes the file after an error
        with refusing_disk_failures():
            return self._file.spool.commit(incoming)

    def _refuse(self, refusal: StoreRefused) -> None:
        self._refusal = refusal
        self.discard()

    def discard(self) -> None:
        """Remove the file if it was not committed."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.discard()
