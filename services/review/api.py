"""The JSON API: the contents and actions of the pages, for programs."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query
from pydantic import AwareDatetime

from services.review.answers import FindingAnswer, StudyAnswer
from services.review.decision_request import DecisionRequest, store_decision
from services.review.dependencies import (
    Id,
    ProxyReviewer,
    RecordsDep,
    StudyUid,
    proxy_reviewer,
)
from services.review.review_findings import ReviewFinding, review_order
from veritag.decisions import ReviewDecision
from veritag.findings import FindingCode, Severity
from veritag.records import Records
from veritag.records.inspection.dead_letters import DeadLetterRow, dead_letters
from veritag.records.review.decisions import decisions_since
from veritag.records.review.study import RecordedFinding, recorded_finding, study_detail
from veritag.records.review.worklist import WorklistPage, worklist
from veritag.records.states import WorklistState
from veritag.records.status import SystemCounts, system_counts

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0, lt=1 << 31)]

router = APIRouter(prefix="/api/v1", dependencies=[Depends(proxy_reviewer)])


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

    `grouped` leaves out studies whose findings all belong to groups of stations.
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
    return StudyAnswer.model_validate(review_order(study))


@router.get("/findings/{finding_id}")
def get_finding(finding_id: Id, records: RecordsDep) -> FindingAnswer:
    """Return a finding with its decisions, oldest first."""
    finding = ReviewFinding.of(_finding(records, finding_id))
    return FindingAnswer.model_validate(finding)


@router.post("/findings/{finding_id}/decisions", status_code=201)
def post_decision(
    finding_id: Id,
    request: DecisionRequest,
    records: RecordsDep,
    proxy_name: ProxyReviewer,
) -> ReviewDecision:
    """Append a decision; the newest decision of a finding counts."""
    finding = _finding(records, finding_id)
    return store_decision(records, finding, request, proxy_name or request.reviewer)


def _finding(records: Records, finding_id: int) -> RecordedFinding:
    finding = recorded_finding(records, finding_id)
    if finding is None:
        raise HTTPException(404, "there is no such finding")
    return finding


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
    """Return the number of instances, series and findings in each state."""
    return system_counts(records)
