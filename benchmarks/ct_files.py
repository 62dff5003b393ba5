"""Synthetic CT files in native and compressed transfer syntaxes."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    generate_uid,
)

SIZE = 512


SYNTAXES = {"jpeg-ls": JPEGLSLossless, "jpeg-2000": JPEG2000Lossless}


def write_ct(path: Path, rng: np.random.Generator, syntax: str) -> None:
    """Write one CT slice of 512 x 512 pixels, 525 kB if native."""
    y, x = np.mgrid[-1:1:512j, -1:1:512j]
    body = ((x / 0.8) ** 2 + (y / 0.6) ** 2) < 1
    pixels = np.where(body, 1040, 24) + rng.normal(0, 20, (SIZE, SIZE))
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.StudyInstanceUID = ds.SeriesInstanceUID = "1.2.3"
    ds.Modality, ds.BodyPartExamined, ds.PatientPosition = "CT", "CHEST", "HFS"
    ds.Manufacturer, ds.ExposureTime, ds.Exposure = "BENCHMARK", 500, 100
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [0, 0, 0]
    ds.PixelSpacing, ds.SliceThickness = [0.8, 0.8], 1.0
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    ds.Rows = ds.Columns = SIZE
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelRepresentation = 0
    ds.PixelData = np.clip(pixels, 0, 4095).astype("<u2").tobytes()
    if syntax in SYNTAXES:
        ds.compress(SYNTAXES[syntax], generate_instance_uid=False)
    ds.save_as(path, enforce_file_format=True)
