"""Files are opened as Data Sets, or refused with a reason."""

import warnings
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tests.real_parts import require
from veritag.dicom import read_instance
from veritag.dicom.read_instance import open_instance
from veritag.errors import NoPixels, UnusableInstance
from veritag.pixels.preprocessing import Preprocessing
from veritag.pixels.tile import make_tile


def example(name: str) -> Path:
    path = get_testdata_file(name, download=False)
    require(path, f"{name} does not come with pydicom")
    return Path(str(path))


def write_bare(path: Path, *, implicit: bool, little: bool) -> Path:
    ds = Dataset()
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = "1.2.3"
    ds.Modality = "CT"
    pydicom.dcmwrite(path, ds, implicit_vr=implicit, little_endian=little)
    return path


@pytest.mark.parametrize(
    ("implicit", "little", "syntax"),
    [
        (True, True, ImplicitVRLittleEndian),
        (False, True, ExplicitVRLittleEndian),
        (False, False, ExplicitVRBigEndian),
    ],
)
def test_bare_data_sets_are_read(
    tmp_path: Path, implicit: bool, little: bool, syntax: str
) -> None:
    """The transfer syntax is detected without preamble and File Meta Information."""
    ds = open_instance(write_bare(tmp_path / "x", implicit=implicit, little=little))
    assert ds.Modality == "CT"
    assert ds.file_meta.TransferSyntaxUID == syntax


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html>\n<html>", "not a DICOM file but an HTML page"),
        (b"  <html><body>404</body></html>" * 9, "not a DICOM file but an HTML page"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "not a DICOM file but a PNG picture"),
        (b"%PDF-1.7", "not a DICOM file but a PDF document"),
        (b"just some text, long enough to be taken for an element", "not a DICOM file"),
        (bytes(4096), "not a DICOM file"),
        (b"\xaa" * 1000, "not a DICOM file"),
        (bytes(128) + b"DICM", "the file ends before its Data Set"),
    ],
)
def test_other_files_are_refused_with_their_kind(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    """The reason names the format of a file that is not a DICOM object."""
    path = tmp_path / "file.dcm"
    path.write_bytes(content)
    with pytest.raises(UnusableInstance, match=f"^{reason}"):
        open_instance(path)


def test_a_dicomdir_is_refused_as_such() -> None:
    """A DICOMDIR is not an instance, and the reason says so."""
    with pytest.raises(UnusableInstance, match="DICOMDIR"):
        open_instance(example("DICOMDIR"))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    """A missing file and a folder give a reason, not a traceback."""
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(UnusableInstance, match="cannot be read"):
            open_instance(path)


def test_a_damaged_deflated_file_is_refused(tmp_path: Path) -> None:
    """The reason says that a deflated Data Set does not inflate."""
    content = example("image_dfl.dcm").read_bytes()
    path = tmp_path / "damaged"
    path.write_bytes(content[:400] + bytes(200) + content[600:])
    with pytest.raises(UnusableInstance, match="deflated Data Set is damaged"):
        open_instance(path)


def test_a_deflated_bomb_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small file is refused before it inflates to more than the limit."""
    monkeypatch.setattr(read_instance, "MAX_INFLATED_MB", 8)
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, "1.2.3"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.add_new("PixelData", "OW", bytes(9 << 20))
    path = tmp_path / "bomb"
    ds.save_as(path, enforce_file_format=True)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(UnusableInstance, match="over 8 MB when inflated"):
        open_instance(path)
    monkeypatch.setattr(read_instance, "MAX_INFLATED_MB", 16)
    assert len(open_instance(path).PixelData) == 9 << 20


@pytest.mark.parametrize("kept", [140, 300, 900, 4000, 20000])
def test_a_truncated_file_ends_in_a_reason(tmp_path: Path, kept: int) -> None:
    """A file cut anywhere is read as far as it goes or refused with a reason."""
    path = tmp_path / "cut"
    path.write_bytes(example("CT_small.dcm").read_bytes()[:kept])
    with pytest.raises((UnusableInstance, NoPixels)) as caught:
        make_tile(open_instance(path), Preprocessing())
    assert str(caught.value)


@pytest.mark.parametrize(
    "module", ["pydicom.dataset", "veritag.dicom.tags.values", "veritag.pixels.frame"]
)
def test_warnings_about_values_are_silenced(tmp_path: Path, module: str) -> None:
    """Warnings of pydicom quote patient data: none is emitted after a file is opened."""
    with warnings.catch_warnings(record=True) as emitted:
        open_instance(write_bare(tmp_path / "x", implicit=True, little=True))
        warnings.warn_explicit("Doe^Jane", UserWarning, "x.py", 1, module)
    assert not emitted


@pytest.mark.slow
def test_each_file_of_the_corpus_is_read_or_refused(corpus: Path) -> None:
    """Each file of the corpus becomes a tile or is refused with a one-line reason."""
    reasons = []
    pictures = 0
    for path in sorted(p for p in corpus.rglob("*") if p.is_file()):
        try:
            make_tile(open_instance(path), Preprocessing())
            pictures += 1
        except (UnusableInstance, NoPixels) as error:
            reasons.append(str(error))
    assert pictures > 600
    assert all(reasons)
    assert not any("\n" in reason for reason in reasons)
