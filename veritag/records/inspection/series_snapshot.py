"""A series as it stands when it is judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, exists, func, select

from veritag.findings import Defect, FindingCode, TagValue, Verdict
from veritag.records.engine import Records
from veritag.records.schema import instances, series, studies, verdicts

Version: TypeAlias = tuple[int, int, bool]


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
    studies
        That the Series Instance UID came in; more than one is wrong.
    siblings
        What the other series of the study carry, keyword to value.
    version
        Changes with every arrival, every verdict and the first namesake.
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
    studies: int
    siblings: tuple[dict[str, TagValue], ...]
    version: Version


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
        # Before all that it stands for: what comes in between makes it old, not lost.
        version = version_of(connection, series_id)
        members = connection.execute(
            select(instances.c.id, instances.c.conflict, instances.c.inspected_at)
            .where(instances.c.series_id == series_id)
            .order_by(instances.c.id)
        ).all()
        found = _verdicts(connection, series_id, bundle_id)
        sharing = series.c.series_instance_uid == head.series_instance_uid
        studies_sharing = select(func.count()).select_from(series).where(sharing)
        sharers = connection.scalar(studies_sharing) or 1
        siblings = _siblings(connection, series_id)
    inspected = [m.id for m in members if m.inspected_at is not None]
    return SeriesSnapshot(
        *head,
        instances=len(members),
        verdicts=tuple(found[id_] for id_ in inspected if id_ in found),
        missing=tuple(id_ for id_ in inspected if id_ not in found),
        conflicts=sum(m.conflict for m in members),
        studies=sharers,
        siblings=siblings,
        version=version,
    )


def _siblings(
    connection: Connection, series_id: int
) -> tuple[dict[str, TagValue], ...]:
    own = select(series.c.study_id).where(series.c.id == series_id).scalar_subquery()
    rows = connection.execute(
        select(
            series.c.modality.label("Modality"),
            series.c.body_part_examined.label("BodyPartExamined"),
        )
        .where(series.c.study_id == own, series.c.id != series_id)
        .order_by(series.c.id)
    )
    return tuple({k: v for k, v in row.items() if v} for row in rows.mappings())


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
        status=row.status,
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


def version_of(connection: Connection, series_id: int) -> Version:
    """Return what changes with every arrival, every verdict and the first namesake."""
    of_series = instances.c.series_id == series_id
    arrived = select(func.count()).select_from(instances).where(of_series)
    judged = (
        select(func.count())
        .select_from(verdicts)
        .join(instances, verdicts.c.instance_id == instances.c.id)
        .where(of_series)
    )
    uid = select(series.c.series_instance_uid).where(series.c.id == series_id)
    shared = exists().where(
        series.c.series_instance_uid == uid.scalar_subquery(), series.c.id != series_id
    )
    return (
        connection.scalar(arrived) or 0,
        connection.scalar(judged) or 0,
        bool(connection.scalar(select(shared))),
    )
