"""What reviewers see: studies with findings, their series, pictures and decisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, case, func, select

from veritag.findings import ExpectedValue, Finding, FindingCode, Severity
from veritag.records.decisions import decisions_by_finding
from veritag.records.engine import Records
from veritag.records.schema import (
    dead_letters as dead_letters_table,
)
from veritag.records.schema import findings, instances, receptions, series, studies
from veritag.review import ReviewDecision

OPEN, DECIDED, ALL = "open", "decided", "all"
MAX_THUMBNAILS = 12

_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


@dataclass(frozen=True, slots=True)
class WorklistRow:
    """A study with findings."""

    study_instance_uid: str
    patient_id: str | None
    accession_number: str | None
    study_date: str | None
    study_description: str | None
    last_received_at: datetime
    modalities: tuple[str, ...]
    body_parts: tuple[str, ...]
    instances: int
    findings_open: int
    findings_decided: int
    worst: Severity
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorklistPage:
    """Some rows of the worklist and how many there are in all."""

    rows: tuple[WorklistRow, ...]
    total: int


@dataclass(frozen=True, slots=True)
class FindingRow:
    """A finding as recorded, with its decisions, oldest first.

    Attributes
    ----------
    withdrawn_at
        When a later settling no longer made it; None while it holds.
    """

    finding_id: int
    study_instance_uid: str
    series_instance_uid: str
    series_id: int
    bundle_id: str
    finding: Finding
    created_at: datetime
    withdrawn_at: datetime | None
    decisions: tuple[ReviewDecision, ...]


@dataclass(frozen=True, slots=True)
class SeriesDetail:
    """A series with its findings and the instances to show, evenly spread."""

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
    findings: tuple[FindingRow, ...]
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
    """Where the archive keeps an instance."""

    archive_key: str
    sop_instance_uid: str
    digest: str


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """An instance that was given up, and why."""

    instance_id: int
    sop_instance_uid: str
    sop_class_uid: str
    reason: str
    attempts: int
    created_at: datetime
    calling_ae_title: str | None


def worklist(
    records: Records,
    *,
    modality: str | None = None,
    code: str | None = None,
    least: Severity = Severity.INFO,
    state: str = OPEN,
    limit: int = 50,
    offset: int = 0,
) -> WorklistPage:
    """Return studies with findings, the gravest first, then the newest.

    Parameters
    ----------
    least
        Leave out studies whose findings are all of less severity.
    state
        `open`: some finding waits for a decision; `decided`: none does; `all`.
    """
    worst = func.min(
        case({s.value: rank for s, rank in _RANK.items()}, value=findings.c.severity)
    )
    waiting = func.count(case((findings.c.decision.is_(None), 1)))
    grave = [s.value for s, rank in _RANK.items() if rank <= _RANK[least]]
    query = (
        _of_studies(select(series.c.study_id, worst.label("rank")), modality, code)
        .where(findings.c.severity.in_(grave))
        .join(studies, series.c.study_id == studies.c.id)
        .group_by(series.c.study_id)
        .order_by(worst, func.max(studies.c.last_received_at).desc())
    )
    if state == OPEN:
        query = query.having(waiting > 0)
    elif state == DECIDED:
        query = query.having(waiting == 0)
    with records.read() as connection:
        counted = select(func.count()).select_from(query.order_by(None).subquery())
        total = connection.scalar(counted) or 0
        ids = connection.scalars(query.limit(limit).offset(offset)).all()
        return WorklistPage(_rows(connection, ids), total)


def _of_studies(
    query: Select[Any], modality: str | None, code: str | None
) -> Select[Any]:
    query = query.select_from(findings).join(
        series, findings.c.series_id == series.c.id
    )
    query = query.where(findings.c.withdrawn_at.is_(None))
    if modality:
        query = query.where(series.c.modality == modality)
    if code:
        query = query.where(findings.c.code == code)
    return query


def _rows(connection: Connection, study_ids: Sequence[int]) -> tuple[WorklistRow, ...]:
    heads = {
        row.id: row
        for row in connection.execute(
            select(studies).where(studies.c.id.in_(study_ids))
        )
    }
    parts: dict[int, list[Row[Any]]] = {id_: [] for id_ in study_ids}
    for row in connection.execute(
        _of_studies(
            select(
                series.c.study_id,
                findings.c.code,
                findings.c.severity,
                findings.c.decision,
            ),
            None,
            None,
        ).where(series.c.study_id.in_(study_ids))
    ):
        parts[row.study_id].append(row)
    shapes = _shapes(connection, study_ids)
    return tuple(_row(heads[id_], parts[id_], shapes[id_]) for id_ in study_ids)


_Shape = tuple[tuple[str, ...], tuple[str, ...], int]


def _shapes(connection: Connection, study_ids: Sequence[int]) -> dict[int, _Shape]:
    """Return study id to its modalities, body parts and number of instances."""
    rows = connection.execute(
        select(
            series.c.study_id,
            series.c.modality,
            series.c.body_part_examined,
            func.count(instances.c.id),
        )
        .join(instances, instances.c.series_id == series.c.id)
        .where(series.c.study_id.in_(study_ids))
        .group_by(series.c.id)
    ).all()
    return {
        id_: (
            tuple(sorted({r[1] for r in rows if r[0] == id_ and r[1]})),
            tuple(sorted({r[2] for r in rows if r[0] == id_ and r[2]})),
            sum(r[3] for r in rows if r[0] == id_),
        )
        for id_ in study_ids
    }


def _row(head: Row[Any], found: Sequence[Row[Any]], shape: _Shape) -> WorklistRow:
    decided = sum(f.decision is not None for f in found)
    return WorklistRow(
        study_instance_uid=head.study_instance_uid,
        patient_id=head.patient_id,
        accession_number=head.accession_number,
        study_date=head.study_date,
        study_description=head.study_description,
        last_received_at=head.last_received_at,
        modalities=shape[0],
        body_parts=shape[1],
        instances=shape[2],
        findings_open=len(found) - decided,
        findings_decided=decided,
        worst=min((Severity(f.severity) for f in found), key=_RANK.__getitem__),
        codes=tuple(sorted({f.code for f in found})),
    )


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
        parts = tuple(_series_detail(connection, row) for row in rows)
    return StudyDetail(
        head.study_instance_uid,
        head.patient_id,
        head.accession_number,
        head.study_date,
        head.study_description,
        head.first_received_at,
        head.last_received_at,
        parts,
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
        findings=_finding_rows(connection, findings.c.series_id == row.id),
        thumbnails=_spread(ids, MAX_THUMBNAILS),
    )


def _spread(ids: Sequence[int], most: int) -> tuple[int, ...]:
    if len(ids) <= most:
        return tuple(ids)
    return tuple(ids[i * (len(ids) - 1) // (most - 1)] for i in range(most))


def _finding_rows(connection: Connection, condition: Any) -> tuple[FindingRow, ...]:
    rows = connection.execute(
        select(findings, series.c.series_instance_uid, studies.c.study_instance_uid)
        .join(series, findings.c.series_id == series.c.id)
        .join(studies, series.c.study_id == studies.c.id)
        .where(condition)
        .order_by(findings.c.id)
    ).all()
    decided = decisions_by_finding(connection, [row.id for row in rows])
    made = [_finding_row(row, decided.get(row.id, ())) for row in rows]
    return tuple(
        sorted(made, key=lambda f: (_RANK[f.finding.severity], -f.finding.score))
    )


def _finding_row(row: Row[Any], decided: tuple[ReviewDecision, ...]) -> FindingRow:
    finding = Finding(
        code=FindingCode(row.code),
        severity=Severity(row.severity),
        tag=row.tag,
        observed=row.observed,
        score=row.score,
        expected=tuple(ExpectedValue(*e) for e in row.expected),
        evidence=row.evidence,
    )
    return FindingRow(
        row.id,
        row.study_instance_uid,
        row.series_instance_uid,
        row.series_id,
        row.bundle_id,
        finding,
        row.created_at,
        row.withdrawn_at,
        decided,
    )


def finding_row(records: Records, finding_id: int) -> FindingRow | None:
    """Return one finding with its decisions; None where it is unknown."""
    with records.read() as connection:
        rows = _finding_rows(connection, findings.c.id == finding_id)
        return rows[0] if rows else None


def instance_location(records: Records, instance_id: int) -> InstanceLocation | None:
    """Return where an instance lies; None where it is unknown."""
    with records.read() as connection:
        row = connection.execute(
            select(
                instances.c.archive_key,
                instances.c.sop_instance_uid,
                instances.c.digest,
            ).where(instances.c.id == instance_id)
        ).one_or_none()
        return InstanceLocation(*row) if row else None


def dead_letters(
    records: Records, limit: int = 100, offset: int = 0
) -> list[DeadLetterRow]:
    """Return the instances that were given up, newest first."""
    table = dead_letters_table
    sender = (
        select(func.min(receptions.c.calling_ae_title))
        .where(receptions.c.instance_id == instances.c.id)
        .scalar_subquery()
    )
    with records.read() as connection:
        rows = connection.execute(
            select(
                instances.c.id,
                instances.c.sop_instance_uid,
                instances.c.sop_class_uid,
                table.c.reason,
                table.c.attempts,
                table.c.created_at,
                sender,
            )
            .join(instances, table.c.instance_id == instances.c.id)
            .order_by(table.c.id.desc())
            .limit(limit)
            .offset(offset)
        )
        return [DeadLetterRow(*row) for row in rows]
