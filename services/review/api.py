"""The JSON API: what the pages show and do, for programs."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query
from pydantic import AwareDatetime

from services.review.decision_form import DecisionRequest, store_decision
from services.review.dependencies import (
    Id,
    ProxyReviewer,
    RecordsDep,
    StudyUid,
    proxy_reviewer,
)
from services.review.views import FindingView, finding_view, series_views
from veritag.decisions import ReviewDecision
from veritag.findings import FindingCode, Severity
from veritag.records import Records
from veritag.records.inspection.dead_letters import DeadLetterRow, dead_letters
from veritag.records.review.decisions import decisions_since
from veritag.records.review.study import FindingRow, finding_row, study_detail
from veritag.records.review.worklist import WorklistPage, worklist
from veritag.records.states import WorklistState
from veritag.records.status import SystemCounts, counts

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0, lt=1 << 31)]

router = APIRouter(prefix="/api/v1", dependencies=[Depends(proxy_reviewer)])


@dataclass(frozen=True, slots=True)
class SeriesAnswer:
    """A series with its findings; `pictures` are addresses of PNG files."""

    series_id: int
    series_instance_uid: str
    series_number: str | None
    series_description: str | None
    modality: str | None
    body_part_examined: str | None
    instances: int
    settled_at: datetime | None
    findings: tuple[FindingView, ...]
    pictures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StudyAnswer:
    """A study with its series, those with findings first."""

    study_instance_uid: str
    patient_id: str | None
    accession_number: str | None
    study_date: str | None
    study_description: str | None
    last_received_at: datetime
    series: tuple[SeriesAnswer, ...]


@router.get("/worklist")
def get_worklist(
    records: RecordsDep,
    modality: Annotated[str | None, Query(max_length=16)] = None,
    code: FindingCode | None = None,
    severity: Severity = Severity.INFO,
    state: WorklistState = WorklistState.OPEN,
    grouped: bool = False,
    limit: Limit = 50,
    offset: Offset = 0,
) -> WorklistPage:
    """Return studies with findings of this severity or worse, the gravest first.

    `grouped` leaves out those whose findings are all told as groups of stations.
    """
    return worklist(
        records,
        modality=modality,
        code=code,
        least=severity,
        state=state,
        grouped=grouped,
        limit=limit,
        offset=offset,
    )


@router.get("/studies/{study_instance_uid}")
def get_study(study_instance_uid: StudyUid, records: RecordsDep) -> StudyAnswer:
    """Return a study with its series, findings and decisions."""
    study = study_detail(records, study_instance_uid)
    if study is None:
        raise HTTPException(404, "there is no such study")
    series = tuple(
        SeriesAnswer(
            series_id=view.row.series_id,
            series_instance_uid=view.row.series_instance_uid,
            series_number=view.row.series_number,
            series_description=view.row.series_description,
            modality=view.row.modality,
            body_part_examined=view.row.body_part_examined,
            instances=view.row.instances,
            settled_at=view.row.settled_at,
            findings=view.findings,
            pictures=tuple(f"/pictures/{i}/256.png" for i in view.row.thumbnails),
        )
        for view in series_views(study)
    )
    return StudyAnswer(
        study_instance_uid=study.study_instance_uid,
        patient_id=study.patient_id,
        accession_number=study.accession_number,
        study_date=study.study_date,
        study_description=study.study_description,
        last_received_at=study.last_received_at,
        series=series,
    )


@router.get("/findings/{finding_id}")
def get_finding(finding_id: Id, records: RecordsDep) -> FindingView:
    """Return a finding with its decisions, oldest first."""
    return finding_view(_finding(records, finding_id))


@router.post("/findings/{finding_id}/decisions", status_code=201)
def post_decision(
    finding_id: Id, request: DecisionRequest, records: RecordsDep, named: ProxyReviewer
) -> ReviewDecision:
    """Append a decision; the newest of a finding counts."""
    row = _finding(records, finding_id)
    return store_decision(records, row, request, named or request.reviewer)


def _finding(records: Records, finding_id: int) -> FindingRow:
    row = finding_row(records, finding_id)
    if row is None:
        raise HTTPException(404, "there is no such finding")
    return row


@router.get("/decisions")
def get_decisions(
    records: RecordsDep, since: AwareDatetime = BEGINNING, limit: Limit = 1000
) -> list[ReviewDecision]:
    """Return the decisions made at or after a moment, oldest first."""
    return decisions_since(records, since, limit)


@router.get("/dead-letters")
def get_dead_letters(
    records: RecordsDep, limit: Limit = 100, offset: Offset = 0
) -> list[DeadLetterRow]:
    """Return the instances that ended without a verdict, newest first."""
    return dead_letters(records, limit, offset)


@router.get("/status")
def get_status(records: RecordsDep) -> SystemCounts:
    """Return how much has come how far."""
    return counts(records)
