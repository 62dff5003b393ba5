"""Rules by which an instance is accepted, for fast and stock reception alike."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO

from services.listener.presentation_contexts import SERVICES
from services.listener.store_status import (
    CLASS_NOT_SUPPORTED,
    MISMATCH,
    NOT_UNDERSTOOD,
    OUT_OF_RESOURCES,
    StoreRefused,
)
from veritag.dicom.elements import SOP_CLASS_UID, SOP_INSTANCE_UID, read_uids
from veritag.dicom.part10 import encode_file_meta
from veritag.errors import UnusableInstance
from veritag.process.logs import get_logger
from veritag.storage.spool import SpoolFull
from veritag.storage.stored_instance import Provenance

_COMPARED = (SOP_CLASS_UID, SOP_INSTANCE_UID)


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """The elements of a C-STORE-RQ that are used (PS3.7 table 9.3-1).

    Attributes
    ----------
    sop_class_uid, sop_instance_uid
        Empty where the command has no valid one.
    """

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """An accepted presentation context."""

    abstract_syntax: str
    transfer_syntax: str


def require_storable(request: StoreRequest, context: AcceptedContext) -> None:
    """Check the command, before its Data Set is read.

    Raises
    ------
    StoreRefused
        If SOP Class and context differ, or there is no valid SOP Instance UID.
    """
    # The services have contexts too, but no instances.
    sop_class = request.sop_class_uid
    if sop_class != context.abstract_syntax or sop_class in SERVICES:
        raise StoreRefused(
            CLASS_NOT_SUPPORTED, "SOP Class is not that of the presentation context"
        )
    if not request.sop_instance_uid:
        raise StoreRefused(NOT_UNDERSTOOD, "The command has no usable SOP Instance UID")


def require_matching_uids(
    stream: BinaryIO, request: StoreRequest, context: AcceptedContext
) -> None:
    """Compare the UIDs of a Data Set with those of the command.

    Raises
    ------
    StoreRefused
        If they differ, or the Data Set lacks them or cannot be read.
    """
    try:
        uids = read_uids(stream, context.transfer_syntax, _COMPARED)
    except UnusableInstance as error:
        raise StoreRefused(NOT_UNDERSTOOD, str(error)) from error
    if SOP_CLASS_UID not in uids or SOP_INSTANCE_UID not in uids:
        raise StoreRefused(
            NOT_UNDERSTOOD, "The Data Set lacks SOP Class or Instance UID"
        )
    if uids[SOP_CLASS_UID] != request.sop_class_uid:
        raise StoreRefused(MISMATCH, "SOP Class UID of command and Data Set differ")
    if uids[SOP_INSTANCE_UID] != request.sop_instance_uid:
        raise StoreRefused(MISMATCH, "SOP Instance UID of command and Data Set differ")


class TooShort(Exception):
    """The beginning of a Data Set ends before the elements that were looked for."""


class DataSetBeginning(io.BytesIO):
    """The first bytes of a Data Set; a read beyond them is an error, not its end."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read exactly `size` bytes.

        Raises
        ------
        TooShort
            If there are fewer.
        """
        data = super().read(size)
        if size is not None and len(data) < size:
            raise TooShort
        return data


def part10_header(
    assoc: Any,
    request: StoreRequest,
    context: AcceptedContext,
    length: int | None = None,
) -> bytes:
    """Return preamble and File Meta Information, padded to `length` bytes if given."""
    return encode_file_meta(
        request.sop_class_uid,
        request.sop_instance_uid,
        context.transfer_syntax,
        _provenance(assoc),
        length,
    )


def _provenance(assoc: Any) -> Provenance:
    request = assoc.requestor.primitive
    return Provenance(
        calling_ae_title=request.calling_ae_title.strip(),
        called_ae_title=request.called_ae_title.strip(),
        peer_address=str(assoc.requestor.address),
        association_id=assoc.association_id,
        received_at=datetime.now(UTC),
    )


@contextmanager
def refusing_disk_failures() -> Iterator[None]:
    """Turn errors of the spool into refusals.

    Raises
    ------
    StoreRefused
        In place of SpoolFull and OSError.
    """
    try:
        yield
    except SpoolFull as error:
        raise StoreRefused(OUT_OF_RESOURCES, "Not enough free disk space") from error
    except OSError as error:
        get_logger().exception("spool_failed", errno=error.errno)
        raise StoreRefused(OUT_OF_RESOURCES, "The disk could not be written") from error
