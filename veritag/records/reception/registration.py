"""Registration of received instances with their series and studies.

It may be repeated after a crash: the spool name of a reception, and the pair (SOP
Instance UID, digest) of an instance, tell what is already recorded.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, select, tuple_, update

from veritag.records.delivery.forwarding import queue_new
from veritag.records.engine import Records, clean_text
from veritag.records.reception.retention import undo_removal
from veritag.records.reception.series import (
    advance_clocks,
    clean_uid,
    series_key,
    upsert_series,
)
from veritag.records.schema import dead_letters, instances, receptions
from veritag.records.states import ReceptionKind
from veritag.storage.stored_instance import StoredInstance

# Any number other than the lock of the migrations.
_REGISTER_LOCK = 0x56455250


@dataclass(frozen=True, slots=True)
class Registered:
    """Result of `register`.

    Attributes
    ----------
    new_ids
        Instances that wait for inspection.
    identical
        Receptions of instances that were known, byte for byte.
    conflicts
        New instances whose SOP Instance UID was known with other bytes.
    unparsable
        New instances whose Data Set cannot be parsed; they are dead letters.
    restored
        Digests of instances that the archive had removed, or was about to; the caller
        archives their files again.
    """

    new_ids: tuple[int, ...] = ()
    identical: int = 0
    conflicts: int = 0
    unparsable: int = 0
    restored: frozenset[str] = frozenset()


def register(records: Records, received: Sequence[StoredInstance]) -> Registered:
    """Record receptions with their instances, series and studies; idempotent.

    Raises
    ------
    RecordsUnavailable
        Nothing was recorded; the caller keeps the spool files and tries again.
    """
    with records.begin() as connection:
        # Two indexers with the same SOP Instance UID must see each other's digests.
        records.lock_exclusively(connection, _REGISTER_LOCK)
        fresh = _unrecorded(connection, received)
        if not fresh:
            return Registered()
        now = datetime.now(UTC)
        series_ids = upsert_series(records, connection, fresh)
        known = _known_uids(connection, fresh)
        new = _insert_instances(records, connection, fresh, series_ids, now)
        kinds = _kinds(fresh, new, known)
        ids = _instance_ids(connection, fresh)
        _insert_receptions(records, connection, fresh, kinds, ids)
        digests = {id_: key[1] for key, id_ in ids.items() if key not in new}
        restored = undo_removal(connection, sorted(digests))
        _mark_conflicts(connection, _conflicting(new, known))
        queue_new(records, connection, sorted(new.values()))
        new_instances = [i for i in fresh if _key(i) in new]
        advance_clocks(connection, new_instances, series_ids, now)
        unparsable = [i for i in new_instances if i.problem]
        _add_dead_letters(connection, records, unparsable, ids, now)
    dead = {ids[_key(i)] for i in unparsable}
    count = Counter(kinds.values())
    return Registered(
        tuple(sorted(set(new.values()) - dead)),
        count[ReceptionKind.IDENTICAL],
        count[ReceptionKind.CONFLICT],
        len(dead),
        frozenset(digests[id_] for id_ in restored),
    )


def _key(instance: StoredInstance) -> tuple[str, str]:
    return clean_uid(instance.sop_instance_uid), instance.digest


def _unrecorded(
    connection: Connection, received: Sequence[StoredInstance]
) -> list[StoredInstance]:
    names = [i.spool_name for i in received]
    recorded = set(
        connection.scalars(
            select(receptions.c.spool_name).where(receptions.c.spool_name.in_(names))
        )
    )
    return [i for i in received if i.spool_name not in recorded]


def _known_uids(connection: Connection, fresh: Sequence[StoredInstance]) -> set[str]:
    uids = [clean_uid(i.sop_instance_uid) for i in fresh]
    query = select(instances.c.sop_instance_uid).where(
        instances.c.sop_instance_uid.in_(uids)
    )
    return set(connection.scalars(query))


def _insert_instances(
    records: Records,
    connection: Connection,
    fresh: Sequence[StoredInstance],
    series_ids: dict[tuple[str, str], int],
    now: datetime,
) -> dict[tuple[str, str], int]:
    """Insert new instances; return (SOP Instance UID, digest) to their id."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for instance in fresh:
        owner = series_key(instance)
        rows.setdefault(
            _key(instance),
            {
                "series_id": series_ids[owner] if owner else None,
                "sop_instance_uid": clean_uid(instance.sop_instance_uid),
                "sop_class_uid": clean_uid(instance.sop_class_uid),
                "transfer_syntax_uid": clean_uid(instance.transfer_syntax_uid),
                "digest": instance.digest,
                "archive_key": instance.archive_key,
                "size": instance.size,
                "received_at": instance.provenance.received_at,
                "indexed_at": now,
            },
        )
    # Only inserted rows are returned, not those in conflict: that tells what is new.
    inserted = connection.execute(
        records.insert(instances)
        .on_conflict_do_nothing()
        .returning(instances.c.sop_instance_uid, instances.c.digest, instances.c.id),
        list(rows.values()),
    )
    return {(uid, digest): instance_id for uid, digest, instance_id in inserted}


def _instance_ids(
    connection: Connection, fresh: Sequence[StoredInstance]
) -> dict[tuple[str, str], int]:
    columns = instances.c.sop_instance_uid, instances.c.digest
    rows = connection.execute(
        select(*columns, instances.c.id).where(
            tuple_(*columns).in_([_key(i) for i in fresh])
        )
    )
    return {(uid, digest): instance_id for uid, digest, instance_id in rows}


def _kinds(
    fresh: Sequence[StoredInstance],
    new: dict[tuple[str, str], int],
    known: set[str],
) -> dict[str, ReceptionKind]:
    """Return spool name to kind; the first reception of a new instance makes it new."""
    kinds: dict[str, ReceptionKind] = {}
    first: set[tuple[str, str]] = set()
    uids = set(known)
    for instance in fresh:
        key = _key(instance)
        if key not in new or key in first:
            kinds[instance.spool_name] = ReceptionKind.IDENTICAL
            continue
        first.add(key)
        kinds[instance.spool_name] = (
            ReceptionKind.CONFLICT if key[0] in uids else ReceptionKind.NEW
        )
        uids.add(key[0])
    return kinds


def _conflicting(new: Iterable[tuple[str, str]], known: set[str]) -> set[str]:
    """Return the UIDs that now have more than one digest."""
    count = Counter(uid for uid, _ in new)
    return {uid for uid in count if uid in known or count[uid] > 1}


def _insert_receptions(
    records: Records,
    connection: Connection,
    fresh: Sequence[StoredInstance],
    kinds: Mapping[str, ReceptionKind],
    ids: Mapping[tuple[str, str], int],
) -> None:
    rows = [_reception(i, kinds[i.spool_name], ids[_key(i)]) for i in fresh]
    # Each row locks its instance: in the same order as retention, against deadlocks.
    rows.sort(key=itemgetter("instance_id"))
    connection.execute(records.insert(receptions), rows)


def _reception(
    instance: StoredInstance, kind: ReceptionKind, instance_id: int
) -> dict[str, Any]:
    origin = instance.provenance
    return {
        "spool_name": instance.spool_name,
        "instance_id": instance_id,
        "kind": kind,
        "calling_ae_title": clean_text(origin.calling_ae_title, 64) or "",
        "called_ae_title": clean_text(origin.called_ae_title, 64) or "",
        "peer_address": clean_text(origin.peer_address, 64) or "",
        "association_id": clean_text(origin.association_id, 64) or "",
        "received_at": origin.received_at,
    }


def _mark_conflicts(connection: Connection, uids: set[str]) -> None:
    if uids:
        connection.execute(
            update(instances)
            .where(instances.c.sop_instance_uid.in_(uids))
            .values(conflict=True)
        )


def _add_dead_letters(
    connection: Connection,
    records: Records,
    unparsable: Sequence[StoredInstance],
    ids: dict[tuple[str, str], int],
    now: datetime,
) -> None:
    if not unparsable:
        return
    reasons = {ids[_key(i)]: clean_text(i.problem) for i in unparsable}
    connection.execute(
        records.insert(dead_letters).on_conflict_do_nothing(),
        [
            {"instance_id": id_, "reason": reason, "attempts": 0, "created_at": now}
            for id_, reason in reasons.items()
        ],
    )
    connection.execute(
        update(instances).where(instances.c.id.in_(reasons)).values(dead_at=now)
    )
