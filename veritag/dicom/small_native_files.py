"""Detection of small native files, which are safe to read in any process.

A small file with native (not encapsulated) Pixel Data needs little time and memory,
whatever it contains, and no decoder. All other files are read in a process of
`veritag.pixels.decoding_pool`.
"""

import os
import struct
from pathlib import Path

from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

# The worst file of this size, all empty elements, takes pydicom seconds and a few hundred
# MB. A CT slice has 0.5 MB.
MAX_BYTES = 4 << 20

_NATIVE = {
    str(uid).encode()
    for uid in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
}
_HEAD = 2048
_META_START = 132  # after preamble and prefix, PS3.10 section 7.1
_META_GROUP = b"\x02\x00"
_TRANSFER_SYNTAX = b"\x02\x00\x10\x00"
_LONG_VRS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR",
             b"UT", b"SV", b"UV"}  # fmt: skip


def is_small_native(path: Path) -> bool:
    """Return whether a file is small and certainly of a native transfer syntax.

    True for a file that cannot be opened: the reader reports the reason.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                return False
            head = file.read(_HEAD)
    except OSError:
        return True
    # Exactly one transfer syntax: of several pydicom could use another one.
    return head[128:_META_START] == b"DICM" and _syntaxes(head) in [
        {uid} for uid in _NATIVE
    ]


def _syntaxes(head: bytes) -> set[bytes]:
    """Return every transfer syntax in the File Meta Information (PS3.10 table 7.1-1).

    All, because pydicom uses the last of several. Empty where the File Meta Information
    continues after the head, which may then hold another one.
    """
    syntaxes, at = set(), _META_START
    while head[at : at + 2] == _META_GROUP:
        value, end = _value(head, at)
        if head[at : at + 4] == _TRANSFER_SYNTAX:
            syntaxes.add(value.rstrip(b"\0 "))
        at = end
    return syntaxes if at + 2 <= len(head) else set()


def _value(head: bytes, at: int) -> tuple[bytes, int]:
    """Return the value of the element at a position, and the position after it."""
    is_long = head[at + 4 : at + 6] in _LONG_VRS
    start, form = (at + 12, "<L") if is_long else (at + 8, "<H")
    try:
        (length,) = struct.unpack_from(form, head, start - struct.calcsize(form))
    except struct.error:
        return b"", _HEAD
    return head[start : start + length], start + length
