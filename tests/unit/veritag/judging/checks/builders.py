"""Builders of Data Sets for the checks: a valid CT slice with elements changed."""

from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.filewriter import dcmwrite

from veritag.findings import Defect, FindingCode
from veritag.judging.checks import check_instance

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"

ARRIVAL = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

_VALID: dict[str, Any] = {
    "SOPClassUID": CT,
    "SOPInstanceUID": "1.2.3.4.1",
    "SeriesInstanceUID": "1.2.3.4",
    "StudyInstanceUID": "1.2.3",
    "FrameOfReferenceUID": "1.2.3.5",
    "Modality": "CT",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "StudyDate": "20260301",
    "StudyTime": "0915",
    "AcquisitionDate": "20260301",
    "AcquisitionTime": "091601.5",
    "PatientID": "SECRET-77",
    "PatientName": "SECRET^PERSON",
    "PatientBirthDate": "19700101",
    "PatientPosition": "HFS",
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    "ImagePositionPatient": [-200, -200, 30],
    "PixelSpacing": [0.8, 0.8],
    "BodyPartExamined": "CHEST",
}


def build(**changes: Any) -> Dataset:
    """Return a valid axial CT slice with elements changed; None deletes one."""
    ds = Dataset()
    with disable_value_validation():
        for keyword, value in (_VALID | changes).items():
            if value is not None:
                setattr(ds, keyword, value)
    return ds


def received(**changes: Any) -> Dataset:
    """Return the slice as read from a file, with raw elements."""
    buffer = BytesIO()
    with disable_value_validation():
        dcmwrite(buffer, build(**changes), implicit_vr=False, little_endian=True)
    buffer.seek(0)
    return dcmread(buffer, force=True)


def defects(**changes: Any) -> list[Defect]:
    """Return the defects of the slice, which are the same in memory and from a file."""
    observed = check_instance(received(**changes), received_at=ARRIVAL)
    assert observed == check_instance(build(**changes), received_at=ARRIVAL)
    return list(observed)


def codes(**changes: Any) -> list[FindingCode]:
    """Return the codes of the defects of the slice."""
    return [defect.code for defect in defects(**changes)]


def item(**values: Any) -> Dataset:
    """Return an item of a sequence."""
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds
