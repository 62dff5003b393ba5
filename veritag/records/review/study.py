"""A study with its series, findings, decisions and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from veritag.decisions import ReviewDecision
from veritag.findings import ExpectedValue, Finding
from veritag.records.engine import Records
from veritag.records.review.decisions import decisions_by_finding
from veritag.records.schema import findings, instances, series, studies
from veritag.records.states import FindingState

MAX_THUMBNAILS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFinding(Finding):
    """A finding as recorded, with its decisions, oldest first.

    Attributes
    ----------
    withdrawn_at
        When a later settling of the series no longer made it; None while it holds.
    """

    finding_id: int
    study_instance_uid: str
    series_instance_uid: str
    series_id: int
    bundle_id: str
    created_at: datetime
    withdrawn_at: datetime | None
    decisions: tuple[ReviewDecision, ...]

    @property
    def current(self) -> ReviewDecision | None:
        """The decision that counts."""
        return self.decisions[-1] if self.decisions else None

    @property
    def state(self) -> FindingState:
        """How far the review is; a withdrawn finding stays so whatever was decided."""
        if self.withdrawn_at is not None:
            return FindingState.WITHDRAWN
        return FindingState.DECIDED if self.decisions else FindingState.OPEN


@dataclass(frozen=True, slots=True)
class SeriesDetail:
    """A series with its findings, and evenly spread instances to show."""

    series_id: int
    series_instance_uid: str
    series_number: str | None
    series_description: str | None
    modality: str | None
    body_part_examined: str | None
    manufacturer: str | None
    station_name: str | None
    settled_at: datetime | None
    instances: int
    findings: tuple[RecordedFinding, ...]
    thumbnails: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StudyDetail:
    """A study with its series."""

    study_instance_uid: str
    patient_id: str | None
    accession_number: str | None
    study_date: str | None
    study_description: str | None
    first_received_at: datetime
    last_received_at: datetime
    series: tuple[SeriesDetail, ...]


@dataclass(frozen=True, slots=True)
class InstanceLocation:
    """Location of an instance in the archive."""

    archive_key: str
    sop_instance_uid: str
    digest: str


def study_detail(records: Records, study_instance_uid: str) -> StudyDetail | None:
    """Return a study with all of its series; None where it is unknown."""
    with records.read() as connection:
        head = connection.execute(
            select(studies).where(studies.c.study_instance_uid == study_instance_uid)
        ).one_or_none()
        if head is None:
            return None
        rows = connection.execute(
            select(series).where(series.c.study_id == head.id).order_by(series.c.id)
        ).all()
        details = tuple(_series_detail(connection, row) for row in rows)
    return StudyDetail(
        head.study_instance_uid,
        head.patient_id,
        head.accession_number,
        head.study_date,
        head.study_description,
        head.first_received_at,
        head.last_received_at,
        details,
    )


def _series_detail(connection: Connection, row: Row[Any]) -> SeriesDetail:
    ids = connection.scalars(
        select(instances.c.id)
        .where(instances.c.series_id == row.id)
        .order_by(instances.c.id)
    ).all()
    return SeriesDetail(
        series_id=row.id,
        series_instance_uid=row.series_instance_uid,
        series_number=row.series_number,
        series_description=row.series_description,
        modality=row.modality,
        body_part_examined=row.body_part_examined,
        manufacturer=row.manufacturer,
        station_name=row.station_name,
        settled_at=row.settled_at,
        instances=len(ids),
        findings=_recorded_findings(connection, findings.c.series_id == row.id),
        thumbnails=_spread(ids, MAX_THUMBNAILS),
    )


def _spread(ids: Sequence[int], most: int) -> tuple[int, ...]:
    if len(ids) <= most:
        return tuple(ids)
    return tuple(ids[i * (len(ids) - 1) // (most - 1)] for i in range(most))


def _recorded_findings(
    connection: Connection, condition: Any
) -> tuple[RecordedFinding, ...]:
    rows = connection.execute(
        select(findings, series.c.series_instance_uid, studies.c.study_instance_uid)
        .join(series, findings.c.series_id == series.c.id)
        .join(studies, series.c.study_id == studies.c.id)
        .where(condition)
        .order_by(findings.c.id)
    ).all()
    decisions = decisions_by_finding(connection, [row.id for row in rows])
    recorded = [_recorded_finding(row, decisions.get(row.id, ())) for row in rows]
    return tuple(sorted(recorded, key=lambda f: (f.severity.rank, -f.score)))


def _recorded_finding(
    row: Row[Any], decisions: tuple[ReviewDecision, ...]
) -> RecordedFinding:
    return RecordedFinding(
        code=row.code,
        severity=row.severity,
        tag=row.tag,
        observed=row.observed,
        score=row.score,
        expected=tuple(ExpectedValue(*pair) for pair in row.expected),
        evidence=row.evidence,
        finding_id=row.id,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        series_id=row.series_id,
        bundle_id=row.bundle_id,
        created_at=row.created_at,
        withdrawn_at=row.withdrawn_at,
        decisions=decisions,
    )


def recorded_finding(records: Records, finding_id: int) -> RecordedFinding | None:
    """Return one finding with its decisions; None where it is unknown."""
    with records.read() as connection:
        matches = _recorded_findings(connection, findings.c.id == finding_id)
        return matches[0] if matches else None


def instance_location(records: Records, instance_id: int) -> InstanceLocation | None:
    """Return the location of an instance; None where it is unknown."""
    with records.read() as connection:
        row = connection.execute(
            select(
                instances.c.archive_key,
                instances.c.sop_instance_uid,
                instances.c.digest,
            ).where(instances.c.id == instance_id)
        ).one_or_none()
        return InstanceLocation(*row) if row else None
