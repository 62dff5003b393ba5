"""Instances to send: a CT slice, an MR slice, a radiograph; each time with new UIDs."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
)

# As long as each other, so that one can stand in another's place.
_PLACE = "2.25.1000000000000000000000000000000000000"
_numbers = itertools.count(os.getpid() * 10**9)


@dataclass(frozen=True)
class InstanceKind:
    """A kind of image: its SOP Class, Modality, rows and columns of 16 bits."""

    sop_class_uid: str
    modality: str
    rows: int
    columns: int


KINDS = {
    "ct": InstanceKind(CTImageStorage, "CT", 512, 512),
    "mr": InstanceKind(MRImageStorage, "MR", 256, 256),
    "dx": InstanceKind(DigitalXRayImageStorageForPresentation, "DX", 3000, 2500),
    "cr": InstanceKind(ComputedRadiographyImageStorage, "CR", 64, 64),
}


@dataclass(frozen=True)
class Instance:
    """An encoded Data Set with what its C-STORE command says."""

    sop_class_uid: str
    sop_instance_uid: str
    data_set: bytes


def template(kind: InstanceKind) -> tuple[bytes, int]:
    """Return a Part 10 file and where its Data Set begins."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = kind.sop_class_uid, _PLACE
    ds.Modality, ds.StudyDate, ds.PatientID = kind.modality, "20260101", "BENCHMARK"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "2.25.1", "2.25.2"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = kind.rows, kind.columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelRepresentation = 0
    values = np.random.default_rng(7).integers(0, 4096, (kind.rows, kind.columns))
    ds.PixelData = values.astype("<u2").tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = BytesIO()
    dcmwrite(file, ds, enforce_file_format=True)
    whole = file.getvalue()
    # Group length (0002,0000) tells where the File Meta Information ends.
    return whole, 144 + int.from_bytes(whole[140:144], "little")


def numbered(whole: bytes) -> tuple[str, bytes]:
    """Return a UID that was never used, and the file with it."""
    uid = f"2.25.{next(_numbers) + 10**36:037d}"
    assert len(uid) == len(_PLACE)
    return uid, whole.replace(_PLACE.encode(), uid.encode())


def instances(kind: InstanceKind, count: int) -> Iterator[Instance]:
    """Make so many instances."""
    whole, begin = template(kind)
    for _ in range(count):
        uid, encoded = numbered(whole)
        yield Instance(kind.sop_class_uid, uid, encoded[begin:])


def files(kind: InstanceKind, count: int, folder: Path) -> None:
    """Write so many Part 10 files."""
    whole, _ = template(kind)
    folder.mkdir(parents=True)
    for _ in range(count):
        uid, encoded = numbered(whole)
        (folder / f"{uid}.dcm").write_bytes(encoded)
