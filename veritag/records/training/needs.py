"""The figures that decide whether a training is due."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from veritag.findings import VerdictStatus
from veritag.records.engine import Records
from veritag.records.schema import (
    bundles,
    decisions,
    instances,
    training_runs,
    verdicts,
)
from veritag.records.states import RunStatus

RECENT_VERDICTS = 5000
"""Number of newest verdicts that occupancy is computed from."""


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Shares of recent series by cluster; each series counts once.

    Attributes
    ----------
    images
        Number of verdicts that this rests on.
    clusters
        Public cluster id to its share of the series.
    unknown
        Share of images of unknown kind.
    trained_clusters, trained_unknown
        The same of the training images; None where the bundle does not state them.
    """

    bundle_id: str
    images: int
    clusters: Mapping[str, float]
    unknown: float
    trained_clusters: Mapping[str, float] | None
    trained_unknown: float | None


@dataclass(frozen=True, slots=True)
class TrainingNeeds:
    """Amount of training data, and what has changed since the last training.

    Attributes
    ----------
    instances
        Inspected instances, with a picture or without.
    new_instances, new_decisions
        Since the newest finished run began; all of them before the first.
    first_received_at
        None while nothing was received.
    last_run_at, last_success_at
        End of the newest run with a trigger, and of the newest of these that finished.
    failures
        Failed runs since the last one that finished.
    """

    instances: int
    new_instances: int
    new_decisions: int
    first_received_at: datetime | None
    last_run_at: datetime | None
    last_success_at: datetime | None
    failures: int


def training_needs(records: Records) -> TrainingNeeds:
    """Return the needs, read in one transaction."""
    with records.read() as connection:
        since = _last_snapshot(connection)
        inspected = instances.c.inspected_at.is_not(None)
        fresh = instances.c.inspected_at > since if since else inspected
        decided = decisions.c.decided_at > since if since else decisions.c.id > 0

        def count(table: Any, condition: Any) -> int:
            query = select(func.count()).select_from(table).where(condition)
            return int(connection.scalar(query) or 0)

        return TrainingNeeds(
            count(instances, inspected),
            count(instances, fresh),
            count(decisions, decided),
            connection.scalar(select(func.min(instances.c.received_at))),
            _last_end(connection, (RunStatus.FINISHED, RunStatus.FAILED)),
            _last_end(connection, (RunStatus.FINISHED,)),
            _failures(connection),
        )


def _last_snapshot(connection: Connection) -> datetime | None:
    # Its start, because the snapshot is made then: what arrived later is new.
    moment: datetime | None = connection.scalar(
        select(training_runs.c.started_at)
        .where(training_runs.c.status == RunStatus.FINISHED)
        .order_by(training_runs.c.id.desc())
        .limit(1)
    )
    return moment


def _last_end(connection: Connection, statuses: tuple[str, ...]) -> datetime | None:
    t = training_runs.c
    moment: datetime | None = connection.scalar(
        select(t.finished_at)
        .where(t.trigger.is_not(None), t.status.in_(statuses))
        .order_by(t.id.desc())
        .limit(1)
    )
    return moment


def _failures(connection: Connection) -> int:
    t = training_runs.c
    triggered = t.trigger.is_not(None)
    newest = select(func.max(t.id)).where(triggered, t.status == RunStatus.FINISHED)
    last = connection.scalar(newest) or 0
    query = select(func.count()).where(
        triggered, t.status == RunStatus.FAILED, t.id > last
    )
    return int(connection.scalar(query) or 0)


def recent_occupancy(records: Records) -> Occupancy | None:
    """Return the occupancy of the newest images, by the bundle of the newest verdict."""
    newest = (
        select(verdicts).order_by(verdicts.c.id.desc()).limit(RECENT_VERDICTS)
    ).subquery()
    query = (
        select(
            newest.c.bundle_id,
            newest.c.cluster,
            newest.c.novelty,
            instances.c.series_id,
        )
        .join(instances, instances.c.id == newest.c.instance_id)
        .where(newest.c.status == VerdictStatus.INSPECTED)
        .order_by(newest.c.id.desc())
    )
    with records.read() as connection:
        rows = connection.execute(query).all()
        if not rows:
            return None
        bundle_id = str(rows[0].bundle_id)
        training = connection.scalar(
            select(bundles.c.training).where(bundles.c.id == bundle_id)
        )
    own = [row for row in rows if row.bundle_id == bundle_id]
    return _occupancy(bundle_id, own, training or {})


def _occupancy(
    bundle_id: str, rows: list[Any], training: Mapping[str, Any]
) -> Occupancy:
    per_series: dict[int | None, Counter[str]] = defaultdict(Counter)
    for row in rows:
        per_series[row.series_id][str(row.cluster)] += 1
    clusters: Counter[str] = Counter()
    for counts in per_series.values():
        total = counts.total()
        for cluster, n in counts.items():
            clusters[cluster] += n / total  # type: ignore[assignment]
    unknown = sum(row.novelty is None or row.novelty > 1 for row in rows)
    trained, trained_unknown = _trained(training)
    return Occupancy(
        bundle_id,
        len(rows),
        {k: v / len(per_series) for k, v in clusters.items()},
        unknown / len(rows),
        trained,
        trained_unknown,
    )


def _trained(
    training: Mapping[str, Any],
) -> tuple[Mapping[str, float] | None, float | None]:
    """Return the occupancy of a bundle's training images, None where it states none.

    A bundle of any origin may be in use, so its figures are read with care.
    """
    try:
        occupancy = training["occupancy"]
        clusters = {str(k): float(v) for k, v in occupancy["clusters"].items()}
        return clusters, float(occupancy["unknown"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None, None
