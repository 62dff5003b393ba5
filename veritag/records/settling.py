"""When a series is complete, and the findings that are then made of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, and_, exists, func, or_, select, update

from veritag.findings import (
    Defect,
    Finding,
    FindingCode,
    SeriesJudgement,
    Verdict,
    VerdictStatus,
)
from veritag.records.dispatching import waiting
from veritag.records.engine import Records, clean_text
from veritag.records.schema import findings, instances, series, studies, verdicts

IDLE, CAP = "idle", "cap"


@dataclass(frozen=True, slots=True)
class DueSeries:
    """A series to settle, and why: `idle` or `cap`."""

    series_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class SeriesSnapshot:
    """A series as it stands when it is judged.

    Attributes
    ----------
    verdicts
        Of the bundle that was asked for, in order of instance id.
    missing
        Instances whose verdicts are of other bundles only.
    conflicts
        Instances whose SOP Instance UID came with different bytes.
    version
        Changes with every arrival and every verdict.
    """

    series_id: int
    study_instance_uid: str
    series_instance_uid: str
    modality: str | None
    last_received_at: datetime
    instances: int
    verdicts: tuple[Verdict, ...]
    missing: tuple[int, ...]
    conflicts: int
    version: tuple[int, int]


def due_series(
    records: Records, idle_seconds: float, cap_seconds: float, limit: int = 256
) -> list[DueSeries]:
    """Return the open series that have gone idle or have been open for too long.

    An idle series is due once all of its instances have a verdict or were given up;
    one over the cap is due with what it has, and opens again when the rest arrives.
    """
    now = datetime.now(UTC)
    silent = series.c.last_received_at <= now - timedelta(seconds=idle_seconds)
    capped = series.c.opened_at <= now - timedelta(seconds=cap_seconds)
    of_series = instances.c.series_id == series.c.id
    still_waiting = exists().where(of_series, waiting())
    idle = and_(silent, ~still_waiting)
    any_verdict = exists().where(of_series, instances.c.inspected_at.is_not(None))
    with records.read() as connection:
        rows = connection.execute(
            select(series.c.id, idle)
            .where(
                series.c.settled_at.is_(None),
                any_verdict,
                or_(idle, capped),
            )
            .order_by(series.c.last_received_at)
            .limit(limit)
        )
        return [DueSeries(id_, IDLE if quiet else CAP) for id_, quiet in rows]


def series_snapshot(
    records: Records, series_id: int, bundle_id: str
) -> SeriesSnapshot | None:
    """Return the series with its verdicts; None where there is no such series."""
    with records.read() as connection:
        head = connection.execute(
            select(
                series.c.id,
                studies.c.study_instance_uid,
                series.c.series_instance_uid,
                series.c.modality,
                series.c.last_received_at,
            )
            .join(studies, series.c.study_id == studies.c.id)
            .where(series.c.id == series_id)
        ).one_or_none()
        if head is None:
            return None
        members = connection.execute(
            select(instances.c.id, instances.c.conflict, instances.c.inspected_at)
            .where(instances.c.series_id == series_id)
            .order_by(instances.c.id)
        ).all()
        found = _verdicts(connection, series_id, bundle_id)
        version = _version(connection, series_id)
    inspected = [m.id for m in members if m.inspected_at is not None]
    return SeriesSnapshot(
        *head,
        instances=len(members),
        verdicts=tuple(found[id_] for id_ in inspected if id_ in found),
        missing=tuple(id_ for id_ in inspected if id_ not in found),
        conflicts=sum(m.conflict for m in members),
        version=version,
    )


def _verdicts(
    connection: Connection, series_id: int, bundle_id: str
) -> dict[int, Verdict]:
    rows = connection.execute(
        select(verdicts)
        .join(instances, verdicts.c.instance_id == instances.c.id)
        .where(instances.c.series_id == series_id, verdicts.c.bundle_id == bundle_id)
    )
    return {row.instance_id: _verdict(row) for row in rows}


def _verdict(row: Row[Any]) -> Verdict:
    return Verdict(
        bundle_id=row.bundle_id,
        status=VerdictStatus(row.status),
        sop_class_uid=row.sop_class_uid,
        tags={k: tuple(v) if isinstance(v, list) else v for k, v in row.tags.items()},
        cluster=row.cluster,
        cluster_probability=row.cluster_probability,
        novelty=row.novelty,
        soft_assignment=row.soft_assignment,
        tag_probability=row.tag_probability or (),
        neighbors=tuple(row.neighbors or ()),
        reason=row.reason,
        hints=row.hints or {},
        defects=tuple(map(_defect, row.defects or ())),
        facts=row.facts or {},
    )


def _defect(stored: Sequence[Any]) -> Defect:
    code, tag, observed, expected, rule = stored
    return Defect(FindingCode(code), tag, observed, tuple(expected), rule)


def _version(connection: Connection, series_id: int) -> tuple[int, int]:
    of_series = instances.c.series_id == series_id
    arrived = select(func.count()).select_from(instances).where(of_series)
    judged = (
        select(func.count())
        .select_from(verdicts)
        .join(instances, verdicts.c.instance_id == instances.c.id)
        .where(of_series)
    )
    return connection.scalar(arrived) or 0, connection.scalar(judged) or 0


def settle(
    records: Records,
    snapshot: SeriesSnapshot,
    judgement: SeriesJudgement,
    bundle_id: str,
    reason: str,
) -> tuple[Finding, ...]:
    """Store what was found of a series; return the findings that are newly open.

    A finding that was made before keeps its id and its decisions; one that no longer
    holds is withdrawn. Where something arrived since the snapshot, the series stays
    open and is judged again.
    """
    now = datetime.now(UTC)
    with records.begin() as connection:
        standing = _standing(connection, snapshot.series_id)
        opened = [
            finding
            for finding in judgement.findings
            if _store(connection, records, snapshot, finding, bundle_id, standing, now)
        ]
        _withdraw(connection, list(standing.values()), now)
        if _version(connection, snapshot.series_id) == snapshot.version:
            connection.execute(
                update(series)
                .where(series.c.id == snapshot.series_id)
                .values(settled_at=now, settle_reason=reason)
            )
    return tuple(opened)


_Key: TypeAlias = tuple[str, str | None, str | None]


def _standing(connection: Connection, series_id: int) -> dict[_Key, tuple[int, bool]]:
    rows = connection.execute(
        select(findings)
        .where(findings.c.series_id == series_id)
        .order_by(findings.c.id)
    )
    return {
        (row.code, row.tag, row.observed): (row.id, row.withdrawn_at is None)
        for row in rows
    }


def _store(
    connection: Connection,
    records: Records,
    snapshot: SeriesSnapshot,
    finding: Finding,
    bundle_id: str,
    standing: dict[_Key, tuple[int, bool]],
    now: datetime,
) -> bool:
    """Insert or renew one finding and take it off `standing`; True when it is new."""
    observed = clean_text(finding.observed)
    values = {
        "bundle_id": bundle_id,
        "severity": finding.severity.value,
        "score": finding.score,
        "expected": [[e.value, e.probability] for e in finding.expected],
        "evidence": finding.evidence,
        "updated_at": now,
        "withdrawn_at": None,
    }
    known = standing.pop((finding.code.value, finding.tag, observed), None)
    if known:
        connection.execute(
            update(findings).where(findings.c.id == known[0]).values(values)
        )
        return not known[1]
    connection.execute(
        records.insert(findings).values(
            series_id=snapshot.series_id,
            code=finding.code.value,
            tag=finding.tag,
            observed=observed,
            created_at=now,
            **values,
        )
    )
    return True


def _withdraw(
    connection: Connection, left: Sequence[tuple[int, bool]], now: datetime
) -> None:
    ids = [finding_id for finding_id, open_ in left if open_]
    if ids:
        connection.execute(
            update(findings).where(findings.c.id.in_(ids)).values(withdrawn_at=now)
        )
