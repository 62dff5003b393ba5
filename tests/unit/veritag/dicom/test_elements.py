"""The reader of first elements agrees with pydicom and resists hostile Data Sets."""

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from veritag.dicom.elements import (
    SERIES_INSTANCE_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    is_uid,
    read_uids,
)
from veritag.errors import UnusableInstance

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
PYDICOM_FILES = sorted(
    (Path(pydicom.__file__).parent / "data" / "test_files").rglob("*.dcm")
)
ALL = (SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID)


def _encode(ds: Dataset, syntax: str) -> bytes:
    stream = DicomBytesIO()
    stream.is_implicit_VR = syntax == IMPLICIT
    stream.is_little_endian = syntax != BIG_ENDIAN
    write_dataset(stream, ds)
    return stream.getvalue()


def _data_set() -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.5"
    ds.PatientName = "A^B"
    return ds


def _uids(ds: Dataset) -> dict[int, str]:
    return {tag: str(ds[tag].value) for tag in ALL if tag in ds}


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_uids_are_found_in_each_encoding(syntax: str) -> None:
    """The four UIDs are read in each uncompressed transfer syntax."""
    ds = _data_set()
    assert read_uids(io.BytesIO(_encode(ds, syntax)), syntax, ALL) == _uids(ds)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
@pytest.mark.parametrize("undefined", [False, True])
def test_sequences_are_skipped(syntax: str, undefined: bool) -> None:
    """UIDs inside nested items are not returned as those of the instance."""
    inner, outer, ds = Dataset(), Dataset(), _data_set()
    inner.SOPInstanceUID, inner.StudyInstanceUID = "9.9.9", "9.9"
    outer.ReferencedSOPSequence = Sequence([inner, inner])
    outer.StudyInstanceUID = "9.8"
    ds.ReferencedStudySequence = Sequence([outer, Dataset(), outer])
    if undefined:
        for sequence in (ds["ReferencedStudySequence"], outer["ReferencedSOPSequence"]):
            sequence.is_undefined_length = True
        for item in (outer, inner):
            item.is_undefined_length_sequence_item = True
    assert read_uids(io.BytesIO(_encode(ds, syntax)), syntax, ALL) == _uids(ds)


def test_unknown_sequences_are_implicit_inside() -> None:
    """A UN value of undefined length is parsed as Implicit VR (PS3.5 section 6.2.2)."""
    nested = struct.pack("<HHL", 0x0009, 0x1002, 4) + b"abcd"
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + nested
    item += struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + struct.pack(
        "<HHL", 0xFFFE, 0xE0DD, 0
    )
    private = struct.pack("<HH2sHL", 0x0009, 0x1001, b"UN", 0, 0xFFFFFFFF) + item
    encoded = _encode(_data_set(), EXPLICIT)
    middle = encoded.index(struct.pack("<HH", 0x0010, 0x0010))
    data = encoded[:middle] + private + encoded[middle:]
    assert read_uids(io.BytesIO(data), EXPLICIT, ALL) == _uids(_data_set())


def test_a_wrongly_declared_encoding_is_noticed() -> None:
    """Implicit VR negotiated as Explicit is read correctly, and vice versa."""
    ds = _data_set()
    assert read_uids(io.BytesIO(_encode(ds, IMPLICIT)), EXPLICIT, ALL) == _uids(ds)
    assert read_uids(io.BytesIO(_encode(ds, EXPLICIT)), IMPLICIT, ALL) == _uids(ds)


def test_pydicoms_files_are_read_as_pydicom_reads_them() -> None:
    """On each file that ships with pydicom both readers find the same UIDs."""
    compared = 0
    for path in PYDICOM_FILES:
        try:
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            syntax = ds.file_meta.TransferSyntaxUID
            offset = _data_set_offset(path)
        except Exception:  # noqa: BLE001, S112 - not a file for this test
            continue
        expected = {tag: uid for tag, uid in _uids(ds).items() if uid}
        if not all(is_uid(uid) for uid in expected.values()):
            continue
        with path.open("rb") as file:
            file.seek(offset)
            assert read_uids(file, syntax, ALL) == expected, path
        compared += 1
    assert compared > 60


def _data_set_offset(path: Path) -> int:
    from pydicom.filereader import read_file_meta_info

    meta = read_file_meta_info(path)
    return 144 + int(meta.FileMetaInformationGroupLength)


def test_deflated_data_is_inflated_only_as_far_as_needed() -> None:
    """A deflated bomb after the UIDs costs no memory."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    pixels = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, 200 << 20)
    data = deflater.compress(_encode(_data_set(), EXPLICIT) + pixels)
    for _ in range(200):
        data += deflater.compress(bytes(1 << 20))
    data += deflater.flush()
    tracemalloc.start()
    uids = read_uids(io.BytesIO(data), DEFLATED, ALL)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert uids == _uids(_data_set())
    assert peak < 20 << 20


@pytest.mark.parametrize(
    "value", ["../../etc/x", "1.2\\1.3", "1.2\0003", "..", "1" * 65]
)
def test_a_value_that_is_no_uid_is_unusable(value: str) -> None:
    """A path, a list, a NUL or more than 64 characters is not accepted as a UID."""
    encoded = value.encode()
    element = struct.pack("<HHL", 0x0008, 0x0018, len(encoded)) + encoded
    with pytest.raises(UnusableInstance, match="SOP Instance UID"):
        read_uids(io.BytesIO(element), IMPLICIT, ALL)


def test_a_length_beyond_the_end_is_unusable() -> None:
    """A UID longer than the rest of the Data Set is reported as damaged."""
    element = struct.pack("<HHL", 0x0008, 0x0018, 0xFFFFFFF0) + b"1.2"
    with pytest.raises(UnusableInstance, match="damaged"):
        read_uids(io.BytesIO(element), IMPLICIT, ALL)


def test_endless_empty_elements_are_given_up() -> None:
    """The reader stops after a limit of empty elements."""
    with pytest.raises(UnusableInstance, match="too many"):
        read_uids(io.BytesIO(bytes(8 << 20)), IMPLICIT, ALL)


def test_deep_nesting_is_walked_without_recursion() -> None:
    """Fifty thousand nested sequences do not crash the reader."""
    header = struct.pack("<HHL", 0x0008, 0x1110, 0xFFFFFFFF)
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    data = (header + item) * 50_000
    assert read_uids(io.BytesIO(data), IMPLICIT, ALL) == {}


@pytest.mark.parametrize("value", ["1.2.3", "0.01.2", "deadbeef" * 8, "3gb_native.0"])
def test_what_identifies_is_taken(value: str) -> None:
    """Leading zeros, hashes and words, as in de-identified archives, are accepted."""
    assert is_uid(value)
