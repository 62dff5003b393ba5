"""The studies and series of received instances, and when they last grew."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select, tuple_, update

from veritag.records.engine import Records, clean_text
from veritag.records.schema import series, studies
from veritag.storage.stored_instance import StoredInstance

# A conformant UID has at most 64 characters (PS3.5 section 9.1); longer ones are kept.
_UID_LIMIT = 256


def clean_uid(value: str) -> str:
    """Return a UID as the records store it."""
    return clean_text(value, _UID_LIMIT) or ""


def series_key(instance: StoredInstance) -> tuple[str, str] | None:
    """Return (Study, Series Instance UID); None for an unparsable Data Set."""
    if instance.study_instance_uid is None or instance.series_instance_uid is None:
        return None
    return clean_uid(instance.study_instance_uid), clean_uid(
        instance.series_instance_uid
    )


def _span(fresh: Iterable[StoredInstance]) -> dict[str, datetime]:
    moments = [i.provenance.received_at for i in fresh]
    return {"first_received_at": min(moments), "last_received_at": max(moments)}


def upsert_series(
    records: Records, connection: Connection, fresh: Sequence[StoredInstance]
) -> dict[tuple[str, str], int]:
    """Insert missing studies and series; return the ids of the series."""
    keys = sorted({key for i in fresh if (key := series_key(i))})
    if not keys:
        return {}
    study_uids = sorted({study for study, _ in keys})
    span = _span(fresh)
    connection.execute(
        records.insert(studies).on_conflict_do_nothing(),
        [{"study_instance_uid": uid, **span} for uid in study_uids],
    )
    rows = connection.execute(
        select(studies.c.study_instance_uid, studies.c.id).where(
            studies.c.study_instance_uid.in_(study_uids)
        )
    )
    study_ids = {uid: study_id for uid, study_id in rows}  # noqa: C416 - mypy does not take rows for pairs
    opened = {"opened_at": datetime.now(UTC)}
    connection.execute(
        records.insert(series).on_conflict_do_nothing(),
        [
            {
                "study_id": study_ids[study],
                "series_instance_uid": uid,
                **span,
                **opened,
            }
            for study, uid in keys
        ],
    )
    return _series_ids(connection, keys)


def _series_ids(
    connection: Connection, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    columns = studies.c.study_instance_uid, series.c.series_instance_uid
    rows = connection.execute(
        select(*columns, series.c.id)
        .join(studies, series.c.study_id == studies.c.id)
        .where(tuple_(*columns).in_(keys))
    )
    return {(study, uid): series_id for study, uid, series_id in rows}


def advance_clocks(
    connection: Connection,
    new: Sequence[StoredInstance],
    series_ids: dict[tuple[str, str], int],
    now: datetime,
) -> None:
    """Set when series and studies last grew, and open settled series again.

    The only series of the same UID in another study opens too: both get the finding.
    """
    newest: dict[int, datetime] = {}
    for instance in new:
        key = series_key(instance)
        if key:
            moment = instance.provenance.received_at
            newest[series_ids[key]] = max(newest.get(series_ids[key], moment), moment)
    reopen(connection, [*_first_namesakes(connection, newest), *newest], now)
    for series_id, moment in sorted(newest.items()):
        connection.execute(
            update(series)
            .where(series.c.id == series_id, series.c.last_received_at < moment)
            .values(last_received_at=moment)
        )
        connection.execute(
            update(studies)
            .where(
                studies.c.id
                == select(series.c.study_id)
                .where(series.c.id == series_id)
                .scalar_subquery(),
                studies.c.last_received_at < moment,
            )
            .values(last_received_at=moment)
        )


def _first_namesakes(connection: Connection, series_ids: Iterable[int]) -> list[int]:
    """Return the series that were alone with their Series Instance UID until now.

    Where there are several others, they have the finding already: a device that always
    writes one UID would open all of them with each arrival.
    """
    ids = list(series_ids)
    uids = select(series.c.series_instance_uid).where(series.c.id.in_(ids))
    only = func.min(series.c.id)
    return list(
        connection.scalars(
            select(only)
            .where(series.c.series_instance_uid.in_(uids), series.c.id.not_in(ids))
            .group_by(series.c.series_instance_uid)
            .having(func.count() == 1)
            .order_by(only)
        )
    )


def reopen(connection: Connection, series_ids: Sequence[int], now: datetime) -> None:
    """Open settled series again, so that they are judged again.

    All are locked until the end of the transaction, also those that are open: a series
    that settles at this moment must wait, and then see the new instances.
    """
    ids = sorted(set(series_ids))
    connection.execute(
        select(series.c.id)
        .where(series.c.id.in_(ids))
        .order_by(series.c.id)
        # FOR NO KEY UPDATE: does not wait for transactions that insert instances.
        .with_for_update(key_share=True)
    ).all()
    connection.execute(
        update(series)
        .where(series.c.id.in_(ids), series.c.settled_at.is_not(None))
        .values(settled_at=None, opened_at=now)
    )
