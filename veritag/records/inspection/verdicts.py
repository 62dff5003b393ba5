"""Verdicts, and the identities of study and series that inspection reads."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, select, update

from veritag.dicom.identity import Identity
from veritag.findings import Defect, Verdict
from veritag.records.engine import Records, clean_text
from veritag.records.reception.series import reopen
from veritag.records.schema import (
    instances,
    series,
    studies,
    verdicts,
)

_OF_STUDY = ("patient_id", "accession_number", "study_date", "study_description")


def store_verdicts(
    records: Records,
    inspected: Sequence[tuple[int, Verdict]],
    identities: Mapping[int, Identity] | None = None,
) -> None:
    """Store verdicts, one per instance and bundle; idempotent.

    Parameters
    ----------
    identities
        Instance id to the attributes that identify its study and series.
    """
    if not inspected:
        return
    now = datetime.now(UTC)
    # In order of id: two workers that store the same instances cannot deadlock.
    rows = sorted(
        (_row(instance_id, verdict, now) for instance_id, verdict in inspected),
        key=lambda row: int(row["instance_id"]),
    )
    ids = [row["instance_id"] for row in rows]
    with records.begin(durable=False) as connection:
        insert = records.insert(verdicts)
        columns = [c for c in rows[0] if c not in {"instance_id", "bundle_id"}]
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=["instance_id", "bundle_id"],
                set_={name: insert.excluded[name] for name in columns},
            ),
            rows,
        )
        series_ids = _mark_inspected(connection, ids, now)
        reopen(connection, sorted(set(series_ids.values())), now)
        _identify(connection, series_ids, identities or {})


_COLUMNS = [field.name for field in fields(Verdict)]


def _row(instance_id: int, verdict: Verdict, now: datetime) -> dict[str, Any]:
    # Not asdict: it copies every number of the soft assignment.
    row = {name: getattr(verdict, name) for name in _COLUMNS}
    row["reason"] = clean_text(verdict.reason)
    row["defects"] = [_defect_row(defect) for defect in verdict.defects]
    return {"instance_id": instance_id, "created_at": now, **row}


def _defect_row(defect: Defect) -> list[Any]:
    observed = clean_text(defect.observed)
    return [defect.code, defect.tag, observed, defect.expected, defect.rule]


def _mark_inspected(
    connection: Connection, ids: Sequence[int], now: datetime
) -> dict[int, int]:
    """Mark instances as inspected; return instance id to series id."""
    rows = connection.execute(
        update(instances)
        .where(instances.c.id.in_(ids))
        # Of the first verdict: one by a later bundle does not make an instance new.
        .values(inspected_at=func.coalesce(instances.c.inspected_at, now))
        .returning(instances.c.id, instances.c.series_id)
    )
    return {id_: series_id for id_, series_id in rows if series_id is not None}


def _identify(
    connection: Connection,
    series_ids: Mapping[int, int],
    identities: Mapping[int, Identity],
) -> None:
    """Store the identity of study and series, once per series of the batch."""
    per_series = {
        series_ids[instance_id]: identity
        for instance_id, identity in identities.items()
        if instance_id in series_ids
    }
    for series_id, identity in sorted(per_series.items()):
        values = {k: clean_text(v, 256) for k, v in asdict(identity).items() if v}
        of_study = {k: values.pop(k) for k in _OF_STUDY if k in values}
        _fill(connection, series, series.c.id == series_id, values)
        owner = select(series.c.study_id).where(series.c.id == series_id)
        _fill(connection, studies, studies.c.id == owner.scalar_subquery(), of_study)


def _fill(
    connection: Connection, table: Any, condition: Any, values: Mapping[str, Any]
) -> None:
    if values:
        connection.execute(update(table).where(condition).values(values))
