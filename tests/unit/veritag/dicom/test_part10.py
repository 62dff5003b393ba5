"""Part 10 files of Veritag, read back by Veritag and by pydicom."""

from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest

from veritag.dicom.part10 import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    PRIVATE_INFORMATION_CREATOR_UID,
    encode_file_meta,
    read_file_meta,
)
from veritag.errors import UnusableInstance
from veritag.storage.stored_instance import Provenance

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
ORIGIN = Provenance(
    "CT1",
    "VERITAG",
    "10.0.0.7",
    "a1b2",
    datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC),
)


def _file(folder: Path, data: bytes = b"") -> Path:
    path = folder / "x.dcm"
    path.write_bytes(encode_file_meta(CT, "1.2.3", EXPLICIT, ORIGIN) + data)
    return path


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """UIDs, provenance and the offset of the Data Set are read as written."""
    path = _file(tmp_path, b"DATA")
    meta = read_file_meta(path)
    assert (meta.sop_class_uid, meta.sop_instance_uid) == (CT, "1.2.3")
    assert meta.transfer_syntax_uid == EXPLICIT
    assert meta.provenance == ORIGIN
    assert path.read_bytes()[meta.dataset_offset :] == b"DATA"


def test_pydicom_reads_our_file_meta(tmp_path: Path) -> None:
    """The File Meta Information is that of PS3.10 section 7.1."""
    meta = pydicom.dcmread(_file(tmp_path)).file_meta
    assert meta.FileMetaInformationVersion == b"\0\1"
    assert meta.MediaStorageSOPClassUID == CT
    assert meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert meta.TransferSyntaxUID == EXPLICIT
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
    assert meta.SourceApplicationEntityTitle == "CT1"
    assert meta.ReceivingApplicationEntityTitle == "VERITAG"
    assert meta.PrivateInformationCreatorUID == PRIVATE_INFORMATION_CREATOR_UID
    assert b"2026-03-01T12:00:00.123456+00:00" in meta.PrivateInformation


def test_our_uids_are_valid() -> None:
    """The implementation's UIDs conform to PS3.5 section 9.1 and the name to VR SH."""
    assert pydicom.uid.UID(IMPLEMENTATION_CLASS_UID).is_valid
    assert pydicom.uid.UID(PRIVATE_INFORMATION_CREATOR_UID).is_valid
    assert len(IMPLEMENTATION_VERSION_NAME) <= 16


@pytest.mark.parametrize("cut", [0, 100, 133, 150, 200, 300])
def test_a_cut_file_is_unusable(tmp_path: Path, cut: int) -> None:
    """A file whose File Meta Information is cut off raises UnusableInstance."""
    path = _file(tmp_path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UnusableInstance):
        read_file_meta(path)


def test_a_foreign_file_is_unusable() -> None:
    """A Part 10 file of other software has no provenance."""
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    with pytest.raises(UnusableInstance):
        read_file_meta(folder / "CT_small.dcm")


def test_a_header_can_have_a_given_length(tmp_path: Path) -> None:
    """File Meta Information padded to an exact length holds the same values."""
    header = encode_file_meta(CT, "1.2.3", EXPLICIT, ORIGIN, length=2048)
    assert len(header) == 2048
    path = tmp_path / "x.dcm"
    path.write_bytes(header + b"DATA")
    meta = read_file_meta(path)
    assert (meta.dataset_offset, meta.provenance) == (2048, ORIGIN)
    assert (
        pydicom.dcmread(path, force=True).file_meta.MediaStorageSOPInstanceUID
        == "1.2.3"
    )
    with pytest.raises(ValueError, match="do not fit"):
        encode_file_meta(CT, "1.2.3", EXPLICIT, ORIGIN, length=300)
