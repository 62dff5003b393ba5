"""The worklist: studies with findings, the gravest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, case, false, func, or_, select

from veritag.findings import FindingCode, Severity
from veritag.records.engine import Records
from veritag.records.review.station_groups import (
    SEVERITY_RANK,
    StationGroup,
    groups_in,
    of_group,
)
from veritag.records.schema import findings, instances, series, studies
from veritag.records.states import WorklistState


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
    codes: tuple[FindingCode, ...]


@dataclass(frozen=True, slots=True)
class WorklistPage:
    """One page of the worklist.

    Attributes
    ----------
    groups
        All station groups, whatever filter applies to the rows.
    """

    rows: tuple[WorklistRow, ...]
    total: int
    groups: tuple[StationGroup, ...] = ()


def worklist(
    records: Records,
    *,
    modality: str | None = None,
    code: FindingCode | None = None,
    least: Severity = Severity.INFO,
    state: WorklistState = WorklistState.OPEN,
    grouped: bool = False,
    limit: int = 50,
    offset: int = 0,
) -> WorklistPage:
    """Return studies with findings, the gravest first, then the newest.

    Parameters
    ----------
    least
        Least severity of a finding; studies without one are left out.
    state
        Whether the study has a finding that waits for a decision.
    grouped
        Leave out studies whose findings all belong to station groups.
    """
    worst = func.min(SEVERITY_RANK)
    waiting = func.count(case((findings.c.decision.is_(None), 1)))
    grave = [s for s in Severity if s.rank <= least.rank]
    matches = _of_studies(
        select(series.c.study_id, worst.label("rank")), modality, code
    )
    query = (
        matches.where(findings.c.severity.in_(grave))
        .join(studies, series.c.study_id == studies.c.id)
        .group_by(series.c.study_id)
        # An aggregate, because PostgreSQL orders groups by nothing else.
        .order_by(worst, func.max(studies.c.last_received_at).desc())
    )
    if state == WorklistState.OPEN:
        query = query.having(waiting > 0)
    elif state == WorklistState.DECIDED:
        query = query.having(waiting == 0)
    with records.read() as connection:
        groups = groups_in(connection)
        if grouped and groups:
            in_group = or_(*(of_group(group.key) for group in groups))
            # A comparison with NULL gives NULL, and NOT NULL would drop the row.
            query = query.where(~func.coalesce(in_group, false()))
        count = select(func.count()).select_from(query.order_by(None).subquery())
        total = connection.scalar(count) or 0
        ids = connection.scalars(query.limit(limit).offset(offset)).all()
        return WorklistPage(_rows(connection, ids), total, groups)


def _of_studies(
    query: Select[Any], modality: str | None, code: FindingCode | None
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
    study_findings: dict[int, list[Row[Any]]] = {id_: [] for id_ in study_ids}
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
        study_findings[row.study_id].append(row)
    contents = _contents(connection, study_ids)
    return tuple(
        _row(heads[id_], study_findings[id_], contents[id_]) for id_ in study_ids
    )


_Contents = tuple[tuple[str, ...], tuple[str, ...], int]


def _contents(connection: Connection, study_ids: Sequence[int]) -> dict[int, _Contents]:
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


def _row(
    head: Row[Any], findings: Sequence[Row[Any]], contents: _Contents
) -> WorklistRow:
    decided = sum(f.decision is not None for f in findings)
    return WorklistRow(
        study_instance_uid=head.study_instance_uid,
        patient_id=head.patient_id,
        accession_number=head.accession_number,
        study_date=head.study_date,
        study_description=head.study_description,
        last_received_at=head.last_received_at,
        modalities=contents[0],
        body_parts=contents[1],
        instances=contents[2],
        findings_open=len(findings) - decided,
        findings_decided=decided,
        worst=min((f.severity for f in findings), key=lambda severity: severity.rank),
        codes=tuple(sorted({f.code for f in findings})),
    )
