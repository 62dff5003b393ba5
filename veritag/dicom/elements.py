"""Reader of the first elements of an encoded Data Set (PS3.5 section 7.1).

Reception needs the UIDs of an instance without decoding it. This reader walks over the
element headers and skips all other values. It does not recurse, emits no warnings and
needs no more memory than the requested values. Data Sets are read with pydicom.
"""

import io
import re
import struct
import zlib
from collections.abc import Collection, Iterator
from typing import BinaryIO

from veritag.errors import UnusableInstance

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
# Transfer syntaxes with a deflated Data Set (PS3.5 sections A.5, A.7 and A.12).
DEFLATED = frozenset(
    {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}
)

# PS3.5 section 9.1 allows digits and dots only, but UIDs of de-identified archives are
# often hashes or words. Values that could be a path or a control are not accepted.
_UID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}\Z")
# PS3.5 table 7.1-1: VRs with a reserved field and a 32-bit length.
_LONG_VRS = frozenset(
    vr.encode() for vr in "OB OD OF OL OV OW SQ SV UC UN UR UT UV".split()
)
_UNDEFINED = 0xFFFFFFFF
_ITEM_END, _SEQUENCE_END = 0xFFFEE00D, 0xFFFEE0DD
_DELIMITERS = 0xFFFE  # items and delimiters have no VR (PS3.5 section 7.5)
_HEADER, _LONG_LENGTH = 8, 4
_VALUE_LIMIT = 1024
# No real object has so many elements before its UIDs; gigabytes of empty elements would
# keep the listener busy.
_ELEMENTS_LIMIT = 200_000
_INFLATE_LIMIT = 4 << 20
_CHUNK = 1 << 16


def is_uid(value: str) -> bool:
    """Return whether a value can be used as a UID, in the widest sense that is safe."""
    return _UID.match(value) is not None


def read_uids(
    stream: BinaryIO, transfer_syntax_uid: str, tags: Collection[int]
) -> dict[int, str]:
    """Return the requested top-level UIDs that are present, without padding.

    Parameters
    ----------
    stream
        The encoded Data Set, positioned at its first element.

    Raises
    ------
    UnusableInstance
        If the elements cannot be parsed or a requested value is not a UID.
    """
    if transfer_syntax_uid in DEFLATED:
        stream = io.BytesIO(_inflate_beginning(stream))
    order = ">" if transfer_syntax_uid == EXPLICIT_BIG else "<"
    implicit = transfer_syntax_uid == IMPLICIT_LITTLE
    uids = {}
    for tag, value in _find_elements(stream, order, implicit, frozenset(tags)):
        uid = value.rstrip(b" \0").decode("ascii", errors="replace")
        if not is_uid(uid):
            raise UnusableInstance(f"{_name(tag)} is not a UID")
        uids[tag] = uid
    return uids


def _name(tag: int) -> str:
    names = {
        SOP_CLASS_UID: "SOP Class UID",
        SOP_INSTANCE_UID: "SOP Instance UID",
        STUDY_INSTANCE_UID: "Study Instance UID",
        SERIES_INSTANCE_UID: "Series Instance UID",
    }
    return names.get(tag, f"({tag >> 16:04X},{tag & 0xFFFF:04X})")


def _inflate_beginning(stream: BinaryIO) -> bytes:
    """Inflate the beginning only: a few bytes may inflate to gigabytes."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    out = bytearray()
    try:
        while len(out) < _INFLATE_LIMIT and not inflater.eof:
            data = inflater.unconsumed_tail or stream.read(_CHUNK)
            if not data:
                break
            out += inflater.decompress(data, _CHUNK)
    except zlib.error as error:
        raise UnusableInstance(f"the deflated Data Set is damaged: {error}") from error
    return bytes(out)


def _find_elements(
    stream: BinaryIO, order: str, implicit: bool, tags: frozenset[int]
) -> Iterator[tuple[int, bytes]]:
    """Yield the requested top-level elements; a depth counter replaces recursion."""
    last, depth = max(tags), 0
    # A UN value of undefined length is Implicit VR inside (PS3.5 section 6.2.2).
    implicit_from: int | None = None
    implicit = _is_implicit(stream, implicit)
    for _ in range(_ELEMENTS_LIMIT):
        inside = implicit or implicit_from is not None
        header = read_header(stream, order, inside)
        if header is None:
            return
        tag, vr, length = header
        if depth == 0 and tag > last:
            return
        if tag in (_ITEM_END, _SEQUENCE_END):
            # A delimiter without a beginning must not lift the walk above the top level.
            depth = max(0, depth - 1)
            if implicit_from is not None and depth < implicit_from:
                implicit_from = None
        elif length == _UNDEFINED:
            depth += 1
            if vr == b"UN" and implicit_from is None:
                implicit_from = depth
        elif depth == 0 and tag in tags:
            yield tag, _read_value(stream, tag, length)
        else:
            stream.seek(length, io.SEEK_CUR)
    raise UnusableInstance("too many elements before the UIDs")


def _is_implicit(stream: BinaryIO, negotiated: bool) -> bool:
    """Return whether VRs are implicit; some senders do not encode as negotiated."""
    start = stream.tell()
    vr = stream.read(6)[4:]
    stream.seek(start)
    return not (vr.isalpha() and vr.isupper()) if vr else negotiated


def read_header(
    stream: BinaryIO, order: str, implicit: bool
) -> tuple[int, bytes, int] | None:
    """Read tag, VR and length of an element (PS3.5 section 7.1); None at the end.

    Parameters
    ----------
    order
        Byte order, `<` or `>`, as for `struct`.

    Returns
    -------
    tuple of int, bytes and int, or None
        The VR is empty for Implicit VR, items and delimiters; the length 0xFFFFFFFF
        means undefined.
    """
    head = stream.read(_HEADER)
    if len(head) < _HEADER:
        return None
    group, element = struct.unpack_from(order + "HH", head)
    tag = group << 16 | element
    if implicit or group == _DELIMITERS:
        return tag, b"", struct.unpack_from(order + "L", head, 4)[0]
    vr = head[4:6]
    if vr not in _LONG_VRS:
        return tag, vr, struct.unpack_from(order + "H", head, 6)[0]
    long_length = stream.read(_LONG_LENGTH)
    if len(long_length) < _LONG_LENGTH:
        return None
    return tag, vr, struct.unpack(order + "L", long_length)[0]


def _read_value(stream: BinaryIO, tag: int, length: int) -> bytes:
    value = stream.read(length) if length <= _VALUE_LIMIT else b""
    if len(value) < length:
        raise UnusableInstance(f"{_name(tag)} is damaged or cut off")
    return value
