"""Elements that identify a study and a series to reviewers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """Elements that identify a study and a series to reviewers; never logged."""

    patient_id: str | None = None
    accession_number: str | None = None
    study_date: str | None = None
    study_description: str | None = None
    series_number: str | None = None
    series_description: str | None = None
    modality: str | None = None
    body_part_examined: str | None = None
    manufacturer: str | None = None
    station_name: str | None = None
