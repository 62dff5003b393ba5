"""The JSON answers on studies and findings, read from the attributes of the records."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from services.review.review_findings import ShownFinding
from veritag.decisions import ReviewDecision
from veritag.records.states import FindingState


class FindingAnswer(ShownFinding):
    """A finding with its decisions, oldest first; the last one counts.

    `version` changes with everything that a reviewer sees. Returned with a decision, it
    makes sure that the decision is about what was seen.
    """

    finding_id: int
    series_id: int
    series_instance_uid: str
    evidence: dict[str, Any]
    title: str
    explanation: str
    correctable: bool
    state: FindingState
    version: str
    created_at: datetime
    withdrawn_at: datetime | None
    decisions: tuple[ReviewDecision, ...]


def _addresses(instance_ids: Iterable[int]) -> tuple[str, ...]:
    return tuple(f"/pictures/{id_}/256.png" for id_ in instance_ids)


class SeriesAnswer(BaseModel):
    """A series with its findings; `pictures` are addresses of PNG files."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    series_id: int
    series_instance_uid: str
    series_number: str | None
    series_description: str | None
    modality: str | None
    body_part_examined: str | None
    instances: int
    settled_at: datetime | None
    findings: tuple[FindingAnswer, ...]
    pictures: Annotated[
        tuple[str, ...],
        BeforeValidator(_addresses),
        Field(validation_alias="thumbnails"),
    ]


class StudyAnswer(BaseModel):
    """A study with its series, those with findings first."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    study_instance_uid: str
    patient_id: str | None
    accession_number: str | None
    study_date: str | None
    study_description: str | None
    last_received_at: datetime
    series: tuple[SeriesAnswer, ...]
