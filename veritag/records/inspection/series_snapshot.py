"""A series with its verdicts, as read for its judgement."""

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
    """A series with its verdicts, as read for its judgement.

    Attributes
    ----------
    verdicts
        Of the requested bundle, in order of instance id.
    missing
        Ids of instances with verdicts of other bundles only.
    conflicts
        Number of instances whose SOP Instance UID was received with different bytes.
    studies
        Number of studies with the Series Instance UID; more than one is wrong.
    siblings
        Tags of the other series of the study, keyword to value.
    version
        Changes with every instance, every verdict, and the first series of the same UID
        in another study.
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
    """Return a series with its verdicts; None where it is unknown."""
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
        # Read first: a change while reading then shows as a newer version.
        version = version_of(connection, series_id)
        members = connection.execute(
            select(instances.c.id, instances.c.conflict, instances.c.inspected_at)
            .where(instances.c.series_id == series_id)
            .order_by(instances.c.id)
        ).all()
        verdict_of = _verdicts(connection, series_id, bundle_id)
        study_count = _study_count(connection, head.series_instance_uid)
        siblings = _siblings(connection, series_id)
    inspected = [m.id for m in members if m.inspected_at is not None]
    return SeriesSnapshot(
        *head,
        instances=len(members),
        verdicts=tuple(verdict_of[id_] for id_ in inspected if id_ in verdict_of),
        missing=tuple(id_ for id_ in inspected if id_ not in verdict_of),
        conflicts=sum(m.conflict for m in members),
        studies=study_count,
        siblings=siblings,
        version=version,
    )


def _study_count(connection: Connection, series_instance_uid: str) -> int:
    same_uid = series.c.series_instance_uid == series_instance_uid
    query = select(func.count()).select_from(series).where(same_uid)
    return connection.scalar(query) or 1


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
    """Return the version of a series, see `SeriesSnapshot`."""
    # Counts are enough: neither instances nor verdicts are ever deleted.
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
