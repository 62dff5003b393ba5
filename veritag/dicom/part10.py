"""Part 10 files of Veritag: the Data Set as received, and its provenance.

The provenance is in the File Meta Information (PS3.10 section 7.1), so each file holds
all that is known of its reception, and the records can be rebuilt from the files.
"""

import json
import struct
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from veritag import __version__
from veritag.errors import UnusableInstance
from veritag.storage.stored_instance import Provenance

# A UUID-derived UID (PS3.5 annex B.2), generated once for this implementation.
IMPLEMENTATION_CLASS_UID = "2.25.208473915216084219170652419866247305211"
IMPLEMENTATION_VERSION_NAME = f"VERITAG_{__version__}"[:16]
# Creator of our Private Information (0002,0102): a JSON object in UTF-8.
PRIVATE_INFORMATION_CREATOR_UID = IMPLEMENTATION_CLASS_UID + ".1"

_PREAMBLE = bytes(128) + b"DICM"
_META_LIMIT = 1 << 16
_GROUP_LENGTH = 12


@dataclass(frozen=True, slots=True)
class FileMeta:
    """File Meta Information of a file that Veritag wrote.

    Attributes
    ----------
    dataset_offset
        Offset of the encoded Data Set in the file, in bytes.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    provenance: Provenance
    dataset_offset: int


def encode_file_meta(
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    provenance: Provenance,
    length: int | None = None,
) -> bytes:
    """Return preamble, prefix and File Meta Information (PS3.10 table 7.1-1).

    Encoded by hand, because pydicom takes longer than the disk takes for the whole file.

    Parameters
    ----------
    length
        Exact length in bytes, reached by padding the Private Information.

    Raises
    ------
    ValueError
        If `length` is too small.
    """
    private = {
        "received_at": provenance.received_at.isoformat(),
        "peer_address": provenance.peer_address,
        "association_id": provenance.association_id,
    }
    body = b"".join(
        (
            struct.pack("<HH2sHL2s", 2, 0x0001, b"OB", 0, 2, b"\0\1"),
            _short(0x0002, b"UI", sop_class_uid),
            _short(0x0003, b"UI", sop_instance_uid),
            _short(0x0010, b"UI", transfer_syntax_uid),
            _short(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
            _short(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
            _short(0x0016, b"AE", provenance.calling_ae_title),
            _short(0x0018, b"AE", provenance.called_ae_title),
            _short(0x0100, b"UI", PRIVATE_INFORMATION_CREATOR_UID),
            _long(0x0102, b"OB", json.dumps(private).encode()),
        )
    )
    if length is not None:
        body = _pad(body, length - len(_PREAMBLE) - _GROUP_LENGTH)
    group_length = struct.pack("<HH2sHL", 2, 0x0000, b"UL", 4, len(body))
    return _PREAMBLE + group_length + body


def _pad(body: bytes, length: int) -> bytes:
    """Pad the last element, the JSON text of the Private Information, with spaces."""
    # JSON ignores trailing spaces, so a reader needs no knowledge of the padding.
    start = body.rindex(struct.pack("<HH2sH", 2, 0x0102, b"OB", 0))
    value = body[start + 12 :].ljust(length - start - 12)
    if start + 12 + len(value) != length:
        raise ValueError(f"{len(body)} bytes do not fit into {length}")
    return body[:start] + _long(0x0102, b"OB", value)


def _short(element: int, vr: bytes, value: str) -> bytes:
    encoded = value.encode("ascii", errors="replace")
    encoded += (b"\0" if vr == b"UI" else b" ") * (len(encoded) % 2)
    return struct.pack("<HH2sH", 2, element, vr, len(encoded)) + encoded


def _long(element: int, vr: bytes, value: bytes) -> bytes:
    value += b" " * (len(value) % 2)
    return struct.pack("<HH2sHL", 2, element, vr, 0, len(value)) + value


def read_file_meta(path: Path) -> FileMeta:
    """Read the File Meta Information that `encode_file_meta` wrote.

    Raises
    ------
    UnusableInstance
        If Veritag did not write the file, or it is damaged.
    """
    with path.open("rb") as file:
        offset, elements = _read_elements(file)
    try:
        private: dict[str, Any] = json.loads(elements[0x0102])
        return FileMeta(
            sop_class_uid=_text(elements[0x0002]),
            sop_instance_uid=_text(elements[0x0003]),
            transfer_syntax_uid=_text(elements[0x0010]),
            provenance=Provenance(
                calling_ae_title=_text(elements[0x0016]),
                called_ae_title=_text(elements[0x0018]),
                peer_address=str(private["peer_address"]),
                association_id=str(private["association_id"]),
                received_at=datetime.fromisoformat(private["received_at"]),
            ),
            dataset_offset=offset,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableInstance(
            f"{path.name}: Veritag did not write the File Meta Information"
        ) from error


def _text(value: bytes) -> str:
    return value.decode("ascii").strip(" \0")


def _read_elements(file: BinaryIO) -> tuple[int, dict[int, bytes]]:
    head = file.read(len(_PREAMBLE) + _GROUP_LENGTH)
    # encode_file_meta always writes (0002,0000) first, so anything else is not Veritag's.
    start = len(_PREAMBLE)
    if head[128:132] != b"DICM" or head[start : start + 6] != b"\2\0\0\0UL":
        raise UnusableInstance("not a Part 10 file")
    length = struct.unpack_from("<L", head, start + 8)[0]
    body = file.read(min(length, _META_LIMIT))
    if len(body) != length:
        raise UnusableInstance("the File Meta Information is cut off")
    return start + _GROUP_LENGTH + length, _split(body)


def _split(body: bytes) -> dict[int, bytes]:
    elements, position = {}, 0
    try:
        while position < len(body):
            element, vr, length = struct.unpack_from("<2xH2sH", body, position)
            position += 8
            if vr == b"OB":  # the only VR with a 32-bit length that Veritag writes here
                length = struct.unpack_from("<L", body, position)[0]
                position += 4
            elements[element] = body[position : position + length]
            position += length
    except struct.error as error:
        raise UnusableInstance("the File Meta Information is damaged") from error
    return elements
