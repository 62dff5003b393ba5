"""Image size in the header of a compressed frame, independent of the Data Set.

A decoder allocates memory for the size in the codestream: a few bytes can claim gigabytes.
"""

import struct

JPEG_2000 = b"\xff\x4f\xff\x51"
JPEG = b"\xff\xd8\xff"
# Start of frame markers, ISO 10918-1 Table B.1 and, for JPEG-LS, ISO 14495-1 C.1.1.
START_OF_FRAME = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB,
                            0xCD, 0xCE, 0xCF, 0xF7})  # fmt: skip


def claimed_pixels(frame: bytes) -> int | None:
    """Return rows times columns in the header of a JPEG, JPEG-LS or JPEG 2000 frame.

    None for a frame of another format or without this header.
    """
    try:
        if frame.startswith(JPEG_2000):
            # SIZ: Lsiz and Rsiz, then Xsiz and Ysiz at offset 8 (ISO 15444-1 A.5.1).
            columns, rows = struct.unpack_from(">II", frame, 8)
            return int(columns) * int(rows)
        if frame.startswith(JPEG):
            return _jpeg_pixels(frame)
    except struct.error:
        pass
    return None


def _jpeg_pixels(frame: bytes) -> int | None:
    at = 2
    while at + 4 <= len(frame) and frame[at] == 0xFF:  # noqa: PLR2004 -- start of a marker
        marker, length = frame[at + 1], struct.unpack_from(">H", frame, at + 2)[0]
        if marker in START_OF_FRAME:
            rows, columns = struct.unpack_from(">HH", frame, at + 5)
            return int(rows) * int(columns)
        at += 2 + length
    return None
