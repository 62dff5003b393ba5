"""Which files may be read in any process: those that cost little whatever is in them.

A small, uncompressed file can make its reader neither slow nor large, and no decoder
sees it. All others are for `veritag.pixels.decoding_process`.
"""

import os
import struct
from pathlib import Path

from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

# The worst file of this size, nothing but empty elements, takes pydicom seconds and a
# few hundred MB. A CT slice has 0.5 MB.
MOST_BYTES = 4 << 20

_NATIVE = {
    str(uid).encode()
    for uid in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
}
_HEAD = 2048
_META = 132  # preamble and prefix, PS3.10 section 7.1
_GROUP = b"\x02\x00"
_SYNTAX = b"\x02\x00\x10\x00"
_LONG_VRS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR",
             b"UT", b"SV", b"UV"}  # fmt: skip


def is_plain(path: Path) -> bool:
    """Tell whether a file is small, and beyond doubt of a native transfer syntax.

    Also where it cannot be opened: whoever reads it will say why.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                return False
            head = file.read(_HEAD)
    except OSError:
        return True
    return head[128:_META] == b"DICM" and _syntaxes(head) in [{uid} for uid in _NATIVE]


def _syntaxes(head: bytes) -> set[bytes]:
    """Return every transfer syntax in the File Meta Information (PS3.10 table 7.1-1).

    Empty where it does not end within the head: then it may name another one later.
    """
    found, at = set(), _META
    while head[at : at + 2] == _GROUP:
        value, end = _value(head, at)
        if head[at : at + 4] == _SYNTAX:
            found.add(value.rstrip(b"\0 "))
        at = end
    return found if at + 2 <= len(head) else set()


def _value(head: bytes, at: int) -> tuple[bytes, int]:
    """Return the value of the element at a position, and where it ends."""
    is_long = head[at + 4 : at + 6] in _LONG_VRS
    start, form = (at + 12, "<L") if is_long else (at + 8, "<H")
    try:
        (length,) = struct.unpack_from(form, head, start - struct.calcsize(form))
    except struct.error:
        return b"", _HEAD
    return head[start : start + length], start + length
