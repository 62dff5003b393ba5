"""A small reader of the first elements of an encoded Data Set (PS3.5 section 7.1).

Reception must know who an instance is without decoding it. This reader walks over
the element headers, skips every value but the wanted ones, never recurses, never warns
and never takes more memory than the values asked for; whoever wants the Data Set
itself uses pydicom.
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
# The whole Data Set is deflated (PS3.5 sections A.5 and A.6 and their HTJ2K sibling).
DEFLATED = frozenset(
    {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}
)

# PS3.5 section 9.1 allows digits and dots; de-identified archives are full of hashes
# and words, which identify as well. What could be a path or a control is refused.
_UID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}\Z")
# PS3.5 table 7.1-1: these have a reserved field and a 32-bit length.
_LONG_VRS = frozenset(
    vr.encode() for vr in "OB OD OF OL OV OW SQ SV UC UN UR UT UV".split()
)
_UNDEFINED = 0xFFFFFFFF
_ITEM_END, _SEQUENCE_END = 0xFFFEE00D, 0xFFFEE0DD
_DELIMITERS = 0xFFFE  # items and delimiters have no VR (PS3.5 section 7.5)
_HEADER, _LONG_LENGTH = 8, 4
_VALUE_LIMIT = 1024
# Nobody has so many elements before the UIDs; gigabytes of empty ones are an attack.
_ELEMENTS_LIMIT = 200_000
_INFLATE_LIMIT = 4 << 20
_CHUNK = 1 << 16


def is_uid(value: str) -> bool:
    """Tell whether a value can serve as a UID, in the widest sense that is safe."""
    return _UID.match(value) is not None


def read_uids(
    stream: BinaryIO, transfer_syntax_uid: str, tags: Collection[int]
) -> dict[int, str]:
    """Return the wanted top-level UIDs that are there, padding stripped.

    Parameters
    ----------
    stream
        The encoded Data Set, positioned at its first element.

    Raises
    ------
    UnusableInstance
        If the elements cannot be followed or a wanted value is no UID.
    """
    if transfer_syntax_uid in DEFLATED:
        stream = io.BytesIO(_inflate_beginning(stream))
    order = ">" if transfer_syntax_uid == EXPLICIT_BIG else "<"
    implicit = transfer_syntax_uid == IMPLICIT_LITTLE
    found = {}
    for tag, value in _wanted(stream, order, implicit, frozenset(tags)):
        uid = value.rstrip(b" \0").decode("ascii", errors="replace")
        if not is_uid(uid):
            raise UnusableInstance(f"{_name(tag)} is not a UID")
        found[tag] = uid
    return found


def _name(tag: int) -> str:
    names = {
        SOP_CLASS_UID: "SOP Class UID",
        SOP_INSTANCE_UID: "SOP Instance UID",
        STUDY_INSTANCE_UID: "Study Instance UID",
        SERIES_INSTANCE_UID: "Series Instance UID",
    }
    return names.get(tag, f"({tag >> 16:04X},{tag & 0xFFFF:04X})")


def _inflate_beginning(stream: BinaryIO) -> bytes:
    """Inflate no more than is needed: a few bytes may inflate to gigabytes."""
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


def _wanted(
    stream: BinaryIO, order: str, implicit: bool, tags: frozenset[int]
) -> Iterator[tuple[int, bytes]]:
    """Walk the elements; a nesting counter stands in for recursion."""
    last, depth = max(tags), 0
    # A UN value of undefined length is Implicit VR inside (PS3.5 section 6.2.2).
    implicit_from: int | None = None
    implicit = _really_implicit(stream, implicit)
    for _ in range(_ELEMENTS_LIMIT):
        inside = implicit or implicit_from is not None
        header = read_header(stream, order, inside)
        if header is None:
            return
        tag, vr, length = header
        if depth == 0 and tag > last:
            return
        if tag in (_ITEM_END, _SEQUENCE_END):
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


def _really_implicit(stream: BinaryIO, assumed: bool) -> bool:
    """Look at the first element: some senders encode otherwise than negotiated."""
    start = stream.tell()
    vr = stream.read(6)[4:]
    stream.seek(start)
    return not (vr.isalpha() and vr.isupper()) if vr else assumed


def read_header(
    stream: BinaryIO, order: str, implicit: bool
) -> tuple[int, bytes, int] | None:
    """Read tag, VR and length of an element (PS3.5 section 7.1); None at the end.

    Parameters
    ----------
    order
        `<` or `>`, as of `struct`.

    Returns
    -------
    tuple of int, bytes and int, or None
        The VR is empty in Implicit VR and of items and delimiters; a length of
        0xFFFFFFFF is undefined.
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
