"""The tasks of the worker, which messages call by name."""

from collections.abc import Mapping
from typing import Any

from veritag.messaging.messages import InspectInstances, SettleSeries
from veritag.records.inspection.attempts import pending_instances
from worker.context import Context
from worker.inspect_batch import inspect_pending
from worker.settling import settle_one


def inspect_instances(context: Context, payload: Mapping[str, Any]) -> None:
    """Inspect the instances of a message that are still pending."""
    ids = InspectInstances.decode(payload).instance_ids
    model = context.bundle.current()
    instances = context.retry(lambda: pending_instances(context.records, ids))
    inspect_pending(context, model, instances)


def settle_series(context: Context, payload: Mapping[str, Any]) -> None:
    """Judge the series of a message."""
    model = context.bundle.current()
    for series_id in SettleSeries.decode(payload).series_ids:
        if context.stopping.is_set():
            # The scheduler publishes the series that are still due again.
            return
        settle_one(context, model, series_id)
