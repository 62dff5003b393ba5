"""Builders of files that need far more time or memory than their size suggests."""

import struct
import zlib
from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    generate_uid,
)

_MEGABYTE = 1 << 20
UNDEFINED = 0xFFFFFFFF


def header(syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return preamble, prefix and File Meta Information."""
    ds = image(syntax, rows=2, columns=2)
    ds.file_meta.FileMetaInformationVersion = b"\0\1"
    body = b""
    for tag, vr, value in (
        (2, b"UI", str(CTImageStorage)),
        (3, b"UI", str(ds.SOPInstanceUID)),
        (0x10, b"UI", str(syntax)),
    ):
        text = value.encode() + b"\0" * (len(value) % 2)
        body += struct.pack("<HH2sH", 2, tag, vr, len(text)) + text
    length = struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(body))
    return bytes(128) + b"DICM" + length + body


def image(syntax: str, *, rows: int, columns: int, bits: int = 16) -> Dataset:
    """Return an image without its pixels."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.StudyInstanceUID = ds.SeriesInstanceUID = "1.2.3"
    ds.Modality = "CT"
    ds.Rows, ds.Columns = rows, columns
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit, ds.PixelRepresentation = bits - 1, 0
    return ds


def compressed(path: Path, ds: Dataset, frame: bytes) -> Path:
    """Write an image of one compressed frame."""
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].VR = "OB"
    ds.save_as(path, enforce_file_format=True)
    return path


def deflated(path: Path, megabytes: int) -> Path:
    """Write a deflated Data Set of so many MB; each takes 1 kB of the file."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, megabytes * _MEGABYTE)
    first = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    # Blocks after a full flush are independent of each other, so one can be repeated.
    block = packer.compress(bytes(_MEGABYTE)) + packer.flush(zlib.Z_FULL_FLUSH)
    content = first + block * megabytes + packer.flush()
    path.write_bytes(header(DeflatedExplicitVRLittleEndian) + content)
    return path


def nested(path: Path, depth: int) -> Path:
    """Write nested sequences of undefined length."""
    start = struct.pack("<HH2sHL", 0x0008, 0x1115, b"SQ", 0, UNDEFINED)
    start += struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED)
    path.write_bytes(header() + start * depth)
    return path


def many_elements(path: Path, megabytes: int) -> Path:
    """Write empty elements only, eight bytes each."""
    count = megabytes * _MEGABYTE // 8
    parts = (
        struct.pack("<HH2sH", 0x0009 + 2 * (n >> 16), n & 0xFFFF, b"LO", 0)
        for n in range(count)
    )
    path.write_bytes(header() + b"".join(parts))
    return path


def many_fragments(path: Path, syntax: str, count: int) -> Path:
    """Write Pixel Data of so many empty fragments, each eight bytes."""
    ds = image(syntax, rows=64, columns=64)
    compressed(path, ds, bytes(2))
    content = path.read_bytes()
    at = content.rindex(struct.pack("<HH", 0x7FE0, 0x0010))
    pixels = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, UNDEFINED)
    items = struct.pack("<HHL", 0xFFFE, 0xE000, 0) * count
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    path.write_bytes(content[:at] + pixels + items + end)
    return path


def jpeg_2000(rows: int, columns: int, tile: int) -> bytes:
    """Return a codestream of empty tiles (ISO 15444-1 annex A)."""
    size = struct.pack(">H", 0xFF51) + struct.pack(
        ">HHIIIIIIIIHBBB", 41, 0, columns, rows, 0, 0, tile, tile, 0, 0, 1, 15, 1, 1
    )
    code = bytes.fromhex("ff52000c00000001000504040001")
    quant = bytes.fromhex("ff5c0013404048485048485048485048485048485050")[:21]
    return b"\xff\x4f" + size + code + quant + b"\xff\xd9"


def jpeg(rows: int, columns: int, marker: int = 0xC3) -> bytes:
    """Return the beginning of a JPEG or JPEG-LS (marker 0xF7) frame of a size."""
    frame = struct.pack(">BHHBBBB", 16, rows, columns, 1, 1, 0x11, 0)
    return b"\xff\xd8\xff" + bytes([marker]) + struct.pack(">H", len(frame) + 2) + frame


def run_length(rows: int, columns: int) -> bytes:
    """Return an RLE frame of zeros (PS3.5 annex G), 64 times smaller than its pixels."""
    row = bytes([257 - 128, 0]) * (columns // 128)
    segment = row * rows
    offsets = struct.pack("<16L", 2, 64, 64 + len(segment), *[0] * 13)
    return offsets + segment * 2
