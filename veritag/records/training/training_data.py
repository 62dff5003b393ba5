"""Training data in the records: instances with pictures, their tags and decisions.

Read in pages by id, so that a million instances neither hold a transaction open nor fill
the memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Connection, Select, func, select

from veritag.decisions import Decision
from veritag.findings import FindingCode, TagValue, VerdictStatus
from veritag.records.conditions import awaits_verdict, has_picture
from veritag.records.engine import Records
from veritag.records.schema import (
    decisions,
    findings,
    instances,
    series,
    studies,
    verdicts,
)

PAGE = 20_000
_IDS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class LearnableInstance:
    """An inspected instance with a picture.

    Attributes
    ----------
    patient
        Patient ID, else Study Instance UID; only for making a key, never stored.
    tags
        The judged tags as received, keyword to value, without absent ones.
    """

    instance_id: int
    digest: str
    archive_key: str
    series_id: int
    patient: str
    manufacturer: str | None
    station_name: str | None
    tags: dict[str, TagValue]


@dataclass(frozen=True, slots=True)
class DecidedTag:
    """The newest decision on a finding about one tag of a series.

    Attributes
    ----------
    observed
        The received value of the finding; None where it was absent.
    corrected_value
        The right value; only with CORRECTED, None otherwise.
    """

    series_id: int
    tag: str
    code: FindingCode
    observed: str | None
    decision: Decision
    corrected_value: str | None


KindRow: TypeAlias = tuple[int, int, str | None, str | None]


def learnable_kinds(
    records: Records, *, page: int = PAGE
) -> Iterator[Sequence[KindRow]]:
    """Yield pages of (instance id, series id, modality, body part) of pictures, by id.

    Modality and body part are the series' own, as received; None where absent.
    """
    last = 0
    while True:
        with records.read() as connection:
            rows: Any = connection.execute(_page(last, page)).all()
        if not rows:
            return
        yield rows
        last = rows[-1][0]


def _page(last: int, page: int) -> Select[Any]:
    return (
        select(
            instances.c.id,
            instances.c.series_id,
            series.c.modality,
            series.c.body_part_examined,
        )
        .join(series, instances.c.series_id == series.c.id)
        .where(instances.c.id > last, has_picture())
        .order_by(instances.c.id)
        .limit(page)
    )


def not_learnable(records: Records) -> dict[str, int]:
    """Return the number of instances without a picture to learn from, by reason."""
    waiting = awaits_verdict()
    conditions = {
        "not inspected yet": waiting,
        "no picture that can be read": ~waiting & ~has_picture(),
        "of no known series": has_picture() & instances.c.series_id.is_(None),
    }
    with records.read() as connection:
        counts = {
            reason: connection.scalar(
                select(func.count()).select_from(instances).where(condition)
            )
            for reason, condition in conditions.items()
        }
    return {reason: count for reason, count in counts.items() if count}


def learnable_instances(
    records: Records, instance_ids: Sequence[int]
) -> Iterator[LearnableInstance]:
    """Yield these instances with their tags in order of id; unknown ids are left out."""
    ids = sorted(instance_ids)
    for start in range(0, len(ids), _IDS_AT_ONCE):
        with records.read() as connection:
            page = _instances(connection, ids[start : start + _IDS_AT_ONCE])
        yield from page


def _instances(connection: Connection, ids: Sequence[int]) -> list[LearnableInstance]:
    rows = connection.execute(
        select(
            instances.c.id,
            instances.c.digest,
            instances.c.archive_key,
            instances.c.series_id,
            func.coalesce(
                func.nullif(studies.c.patient_id, ""), studies.c.study_instance_uid
            ),
            series.c.manufacturer,
            series.c.station_name,
            verdicts.c.tags,
        )
        .join(series, instances.c.series_id == series.c.id)
        .join(studies, series.c.study_id == studies.c.id)
        .join(verdicts, verdicts.c.instance_id == instances.c.id)
        .where(instances.c.id.in_(ids), verdicts.c.status == VerdictStatus.INSPECTED)
        .order_by(instances.c.id, verdicts.c.id)
    )
    # Of several verdicts the newest one: newer code has read the same tags.
    newest = {row[0]: row for row in rows}
    return [
        LearnableInstance(*row[:7], tags=_as_received(row[7]))
        for row in newest.values()
    ]


def _as_received(tags: dict[str, Any]) -> dict[str, TagValue]:
    """Return the tags of a verdict; JSON has lists in place of tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in tags.items()}


def decided_tags(records: Records) -> dict[int, tuple[DecidedTag, ...]]:
    """Return series id to the decisions on its tags, the oldest first.

    Only the newest decision of each finding, also of withdrawn findings.
    """
    newest = select(func.max(decisions.c.id)).group_by(decisions.c.finding_id)
    by_series: dict[int, tuple[DecidedTag, ...]] = {}
    with records.read() as connection:
        rows = connection.execute(
            select(
                findings.c.series_id,
                findings.c.tag,
                findings.c.code,
                findings.c.observed,
                decisions.c.decision,
                decisions.c.corrected_value,
            )
            .join(findings, decisions.c.finding_id == findings.c.id)
            .where(decisions.c.id.in_(newest), findings.c.tag.is_not(None))
            .order_by(decisions.c.id)
        )
        for series_id, tag, code, observed, decision, corrected in rows:
            decided = DecidedTag(series_id, tag, code, observed, decision, corrected)
            by_series[series_id] = (*by_series.get(series_id, ()), decided)
    return by_series
