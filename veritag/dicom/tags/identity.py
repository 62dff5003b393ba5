"""UIDs and identifying attributes of a Data Set."""

from pydicom import Dataset

from veritag.dicom.identity import Identity
from veritag.dicom.tags.values import raw_value, text_of


def read_uid(ds: Dataset, keyword: str) -> str | None:
    """Return a UID as received, None where it is absent or empty."""
    return text_of(raw_value(ds, keyword))


def read_identity(ds: Dataset) -> Identity:
    """Return the attributes that identify study and series, shown to reviewers only."""

    def text(keyword: str) -> str | None:
        return text_of(raw_value(ds, keyword))

    return Identity(
        patient_id=text("PatientID"),
        accession_number=text("AccessionNumber"),
        study_date=text("StudyDate"),
        study_description=text("StudyDescription"),
        series_description=text("SeriesDescription"),
        series_number=text("SeriesNumber"),
        modality=text("Modality"),
        body_part_examined=text("BodyPartExamined"),
        manufacturer=text("Manufacturer"),
        station_name=text("StationName"),
    )
