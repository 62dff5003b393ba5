"""Retention: which archived files may be removed, and which are gone.

An instance is marked before its file is removed, and recorded as removed afterwards; a
crash in between leaves the mark. The file is removed while the row is locked, so that
an instance that is received again at that moment is kept, or archived again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, exists, select, update

from veritag.records.conditions import has_picture
from veritag.records.engine import Records
from veritag.records.schema import (
    findings,
    forwards,
    instances,
    receptions,
    series,
)
from veritag.records.states import ForwardState


@dataclass(frozen=True, slots=True)
class RemovableInstance:
    """An instance whose file may be removed.

    Attributes
    ----------
    size
        Of the file, in bytes.
    has_picture
        Whether it has a picture, of which a small one is to be kept.
    """

    instance_id: int
    archive_key: str
    size: int
    has_picture: bool


def removable_instances(
    records: Records, days: float, limit: int
) -> list[RemovableInstance]:
    """Return instances that were last received over so many days ago and are completed.

    They are inspected, their series has settled without open findings, and they do not
    wait to be forwarded. Dead letters stay in the archive, for analysis.
    """
    columns = instances.c.id, instances.c.archive_key, instances.c.size
    with records.read() as connection:
        rows = connection.execute(
            select(*columns, has_picture())
            .where(_is_removable(days))
            .order_by(instances.c.received_at)
            .limit(limit)
        )
        return [RemovableInstance(*row) for row in rows]


def _is_removable(days: float) -> Any:
    since = datetime.now(UTC) - timedelta(days=days)
    of_instance = receptions.c.instance_id == instances.c.id
    return and_(
        instances.c.removed_at.is_(None),
        instances.c.removing_at.is_(None),
        instances.c.received_at < since,
        instances.c.inspected_at.is_not(None),
        exists().where(
            series.c.id == instances.c.series_id, series.c.settled_at.is_not(None)
        ),
        ~exists().where(of_instance, receptions.c.received_at >= since),
        ~exists().where(
            findings.c.series_id == instances.c.series_id,
            findings.c.withdrawn_at.is_(None),
            findings.c.decision.is_(None),
        ),
        ~exists().where(
            forwards.c.instance_id == instances.c.id,
            forwards.c.state.in_((ForwardState.WAITING, ForwardState.PARKED)),
        ),
    )


def mark_for_removal(
    records: Records, instance_ids: Sequence[int], days: float
) -> None:
    """Mark instances as about to be removed, if they still may be."""
    with records.begin() as connection:
        # Wait for uncommitted receptions; the next statement sees them.
        connection.execute(
            select(instances.c.id)
            .where(instances.c.id.in_(instance_ids))
            .order_by(instances.c.id)
            .with_for_update()
        ).all()
        connection.execute(
            update(instances)
            .where(instances.c.id.in_(instance_ids), _is_removable(days))
            .values(removing_at=datetime.now(UTC))
        )


def remove_marked(
    records: Records, remove: Callable[[Sequence[str]], None], limit: int
) -> list[RemovableInstance]:
    """Remove the files of marked instances; return what was removed.

    Parameters
    ----------
    remove
        Removes the files of archive keys durably; called again after a crash.
    """
    with records.begin() as connection:
        marked = _marked(connection, limit)
        if marked:
            remove([m.archive_key for m in marked])
            connection.execute(
                update(instances)
                .where(instances.c.id.in_([m.instance_id for m in marked]))
                .values(removed_at=datetime.now(UTC))
            )
    return marked


def _marked(connection: Connection, limit: int) -> list[RemovableInstance]:
    rows = connection.execute(
        select(instances.c.id, instances.c.archive_key, instances.c.size)
        .where(instances.c.removing_at.is_not(None), instances.c.removed_at.is_(None))
        .order_by(instances.c.id)
        .limit(limit)
        .with_for_update()
    )
    return [RemovableInstance(*row, has_picture=False) for row in rows]


def undo_removal(connection: Connection, instance_ids: Sequence[int]) -> set[int]:
    """Undo the removal of instances that are received again; return their ids.

    The caller archives their files after this transaction.
    """
    return set(
        connection.scalars(
            update(instances)
            .where(
                instances.c.id.in_(instance_ids), instances.c.removing_at.is_not(None)
            )
            .values(removing_at=None, removed_at=None)
            .returning(instances.c.id)
        )
    )
