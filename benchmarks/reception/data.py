"""Instances to send: a CT slice, an MR slice and radiographs, each with a new UID."""

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

# As long as all UIDs of `numbered`, so that they can replace it in encoded files.
_PLACEHOLDER = "2.25.1000000000000000000000000000000000000"
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
    """An encoded Data Set, with the UIDs of its C-STORE command."""

    sop_class_uid: str
    sop_instance_uid: str
    data_set: bytes


def template(kind: InstanceKind) -> tuple[bytes, int]:
    """Return a Part 10 file and the offset of its Data Set."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = kind.sop_class_uid, _PLACEHOLDER
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
    content = file.getvalue()
    # The group length (0002,0000) gives the end of the File Meta Information.
    return content, 144 + int.from_bytes(content[140:144], "little")


def numbered(content: bytes) -> tuple[str, bytes]:
    """Return an unused UID, and the file with this UID."""
    uid = f"2.25.{next(_numbers) + 10**36:037d}"
    assert len(uid) == len(_PLACEHOLDER)
    return uid, content.replace(_PLACEHOLDER.encode(), uid.encode())


def instances(kind: InstanceKind, count: int) -> Iterator[Instance]:
    """Yield `count` instances."""
    content, offset = template(kind)
    for _ in range(count):
        uid, encoded = numbered(content)
        yield Instance(kind.sop_class_uid, uid, encoded[offset:])


def files(kind: InstanceKind, count: int, folder: Path) -> None:
    """Write `count` Part 10 files."""
    content, _ = template(kind)
    folder.mkdir(parents=True)
    for _ in range(count):
        uid, encoded = numbered(content)
        (folder / f"{uid}.dcm").write_bytes(encoded)
