"""Gauges of queues, read from the records and so independent of restarts."""

from collections.abc import Collection
from datetime import UTC, datetime

from veritag.process.metrics import (
    COMMITMENTS_OLDEST,
    COMMITMENTS_WAITING,
    FORWARDS_OLDEST,
    FORWARDS_PARKED,
    FORWARDS_WAITING,
)
from veritag.records import Records
from veritag.records.delivery.commitments import commitment_counts
from veritag.records.delivery.destinations import destination_states


def set_destination_gauges(records: Records, names: Collection[str]) -> None:
    """Set the gauges of the named destinations."""
    for state in destination_states(records):
        if state.name in names:
            FORWARDS_WAITING.labels(state.name).set(state.waiting)
            FORWARDS_OLDEST.labels(state.name).set(state.oldest_seconds)
            FORWARDS_PARKED.labels(state.name).set(state.parked)


def set_commitment_gauges(records: Records) -> None:
    """Set the gauges of storage commitment."""
    counts = commitment_counts(records)
    COMMITMENTS_WAITING.set(counts.waiting)
    since = counts.oldest_waiting_at
    age = 0.0 if since is None else (datetime.now(UTC) - since).total_seconds()
    COMMITMENTS_OLDEST.set(max(0.0, age))
