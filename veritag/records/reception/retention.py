"""Which archived objects have been kept long enough, and which are gone.

An instance is marked before its file is removed, and noted as removed afterwards: what
a crash leaves in between is found by its mark. The file goes while the row is locked, so
that an instance that is received again at that moment is either kept or kept anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, exists, select, update

from veritag.findings import VerdictStatus
from veritag.records.engine import Records
from veritag.records.schema import (
    findings,
    forwards,
    instances,
    receptions,
    series,
    verdicts,
)
from veritag.records.states import ForwardState


@dataclass(frozen=True, slots=True)
class RemovableInstance:
    """An instance whose file may go.

    Attributes
    ----------
    size
        Of the file, in bytes.
    has_picture
        Whether it was inspected as a picture, of which a small one is to be kept.
    """

    instance_id: int
    archive_key: str
    size: int
    has_picture: bool


def removable_instances(
    records: Records, days: float, limit: int
) -> list[RemovableInstance]:
    """Return instances that were last received over so many days ago and are done with.

    They are inspected, their series has settled, no finding of it is open, and nothing
    waits to be forwarded. Dead letters stay: somebody may want to look at them.
    """
    shown = _has_picture().label("has_picture")
    columns = instances.c.id, instances.c.archive_key, instances.c.size
    with records.read() as connection:
        rows = connection.execute(
            select(*columns, shown)
            .where(_may_go(days))
            .order_by(instances.c.received_at)
            .limit(limit)
        )
        return [RemovableInstance(*row) for row in rows]


def _has_picture() -> Any:
    return exists().where(
        verdicts.c.instance_id == instances.c.id,
        verdicts.c.status == VerdictStatus.INSPECTED,
    )


def _may_go(days: float) -> Any:
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
    """Mark instances as about to be removed, those that may go still."""
    with records.begin() as connection:
        # Waits for receptions that are not committed yet; the next statement sees them.
        connection.execute(
            select(instances.c.id)
            .where(instances.c.id.in_(instance_ids))
            .order_by(instances.c.id)
            .with_for_update()
        ).all()
        connection.execute(
            update(instances)
            .where(instances.c.id.in_(instance_ids), _may_go(days))
            .values(removing_at=datetime.now(UTC))
        )


def remove_marked(
    records: Records, remove: Callable[[Sequence[str]], None], limit: int
) -> list[RemovableInstance]:
    """Remove the files of marked instances; return what was removed.

    Parameters
    ----------
    remove
        Removes the files of archive keys for good; called again after a crash.
    """
    with records.begin() as connection:
        found = _marked(connection, limit)
        if found:
            remove([one.archive_key for one in found])
            connection.execute(
                update(instances)
                .where(instances.c.id.in_([one.instance_id for one in found]))
                .values(removed_at=datetime.now(UTC))
            )
    return found


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
    """Take back the removal of instances that are received again; return which.

    The caller puts their files into the archive after this is committed.
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
