"""Drawn pictures as valid instances of their SOP Classes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from veritag.phantoms.study_kinds import CR, DX, MG, SAGITTAL, US, PhantomKind

_MAKERS = ("PHANTOM WORKS", "SYNTHETIC IMAGING", "TESTBILD AG")


def encode_instance(
    kind: PhantomKind, picture: NDArray[np.generic], key: Sequence[int], instance: int
) -> Dataset:
    """Return a Data Set with File Meta Information, ready to be sent or written."""
    rng = np.random.default_rng(key)
    ds = Dataset()
    _describe_patient(ds, kind, key, rng)
    _describe_series(ds, kind, key, instance)
    for keyword, value in kind.tags.items():
        setattr(ds, keyword, value)
    _place(ds, kind, picture.shape, instance)
    _describe_class(ds, kind, instance)
    _set_pixels(
        ds,
        kind,
        picture,
        inverted=kind.sop_class_uid == CR and bool(rng.random() < 0.5),
    )
    ds.file_meta = _file_meta(ds)
    return ds


def _uid(*parts: object) -> str:
    return str(generate_uid(entropy_srcs=["veritag phantom", *map(str, parts)]))


def _describe_patient(
    ds: Dataset, kind: PhantomKind, key: Sequence[int], rng: np.random.Generator
) -> None:
    body = kind.name.replace("-", "^")
    ds.PatientName = f"PHANTOM^{body}"
    ds.PatientID = f"PHANTOM-{key[0]}-{key[2]:02d}-{key[1]:04d}"
    ds.PatientBirthDate = f"{rng.integers(1940, 2005)}0101"
    ds.PatientSex = str(rng.choice(["F", "M"])) if kind.modality != "MG" else "F"
    ds.StudyInstanceUID = _uid("study", *key)
    ds.StudyDate = f"2025{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}"
    ds.StudyTime = f"{rng.integers(7, 19):02d}{rng.integers(60):02d}00"
    ds.ReferringPhysicianName = ""
    ds.StudyID = str(key[1])
    ds.AccessionNumber = f"PH{key[0] % 1000:03d}{key[2]:02d}{key[1]:05d}"
    ds.StudyDescription = f"Synthetic {kind.name.lower()} study"
    ds.Manufacturer = str(rng.choice(_MAKERS))
    ds.ManufacturerModelName = "Phantom generator"


def _describe_series(
    ds: Dataset, kind: PhantomKind, key: Sequence[int], instance: int
) -> None:
    ds.SOPClassUID = kind.sop_class_uid
    ds.SOPInstanceUID = _uid("instance", *key, instance)
    ds.SeriesInstanceUID = _uid("series", *key)
    ds.SeriesNumber = 1
    ds.SeriesDescription = f"Synthetic {kind.name.lower()}"
    ds.Modality = kind.modality
    ds.BodyPartExamined = kind.body_part
    ds.InstanceNumber = instance + 1
    ds.AcquisitionNumber = 1
    ds.SeriesDate = ds.ContentDate = ds.AcquisitionDate = ds.StudyDate
    ds.SeriesTime = ds.ContentTime = ds.AcquisitionTime = ds.StudyTime


def _place(
    ds: Dataset, kind: PhantomKind, shape: tuple[int, ...], instance: int
) -> None:
    """Set the Image Plane Module (PS3.3 C.7.6.2) where a kind has one."""
    spacing = kind.spacing * kind.rows / shape[0]
    if kind.orientation is None:
        if kind.sop_class_uid in (DX, MG):
            ds.ImagerPixelSpacing = [spacing, spacing]
            ds.PatientOrientation = (
                ["P", "F"] if kind.sop_class_uid == MG else ["L", "F"]
            )
            ds.AcquisitionContextSequence = Items([])
            return
        ds.PatientOrientation = ""
        return
    half = spacing * shape[0] / 2
    slice_at = 5.0 * instance
    sagittal = kind.orientation == SAGITTAL
    ds.FrameOfReferenceUID = _uid("frame", ds.SeriesInstanceUID)
    ds.PositionReferenceIndicator = ""
    ds.ImageOrientationPatient = list(kind.orientation)
    ds.ImagePositionPatient = (
        [slice_at, -half, half] if sagittal else [-half, -half, slice_at]
    )
    ds.PixelSpacing = [spacing, spacing]
    ds.SliceThickness = 5
    ds.SpacingBetweenSlices = 5
    ds.SliceLocation = slice_at


def _describe_class(ds: Dataset, kind: PhantomKind, instance: int) -> None:
    if kind.sop_class_uid == MG:
        _describe_mammogram(ds, instance)
    if kind.sop_class_uid == DX:
        ds.ImageLaterality = "U"
        ds.AnatomicRegionSequence = Items([_code("T-D1213", "SRT", "Jaw region")])
    if kind.sop_class_uid == US:
        ds.PatientOrientation = ""
        ds.TransducerType = "SECTOR_PHASED"


def _describe_mammogram(ds: Dataset, instance: int) -> None:
    """Set what PS3.3 C.8.11.7 requires of a mammogram."""
    ds.ImageLaterality = "R" if instance % 2 else "L"
    ds.ViewCodeSequence = Items([_code("R-10242", "SRT", "cranio-caudal")])
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = Items([])
    ds.AnatomicRegionSequence = Items([_code("T-04000", "SRT", "Breast")])
    ds.PartialView = "NO"
    ds.ViewPosition = "CC"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = (
        value,
        scheme,
        meaning,
    )
    return item


def _set_pixels(
    ds: Dataset, kind: PhantomKind, picture: NDArray[np.generic], *, inverted: bool
) -> None:
    """Set the Image Pixel Module (PS3.3 C.7.6.3)."""
    ds.Rows, ds.Columns = picture.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = 8 if kind.peak <= 255 else 12
    ds.BitsAllocated = 8 if bits == 8 else 16
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, bits - 1, 0
    if inverted:
        ds.PhotometricInterpretation = "MONOCHROME1"
        picture = kind.peak - picture
    if kind.modality == "CT":
        picture = _as_signed(ds, picture)
    if kind.sop_class_uid == US:
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 3, "RGB"
        ds.PlanarConfiguration = 0
        picture = np.repeat(picture[:, :, None], 3, axis=2)
    else:
        _set_window(ds, kind)
    pixels = (
        np.ascontiguousarray(picture).astype(picture.dtype.newbyteorder("<")).tobytes()
    )
    ds.PixelData = pixels + b"\0" * (len(pixels) % 2)
    ds["PixelData"].VR = "OB" if bits == 8 else "OW"


def _as_signed(ds: Dataset, picture: NDArray[np.generic]) -> NDArray[np.generic]:
    """Store as int16, as most CT scanners do; the values stay those of 0..4095."""
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 15, 1
    return picture.astype(np.int16)


def _set_window(ds: Dataset, kind: PhantomKind) -> None:
    if kind.modality == "CT":
        ds.WindowCenter, ds.WindowWidth = 40, 400
        return
    ds.WindowCenter, ds.WindowWidth = kind.peak // 2, kind.peak


def _file_meta(ds: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return meta
