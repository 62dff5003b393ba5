"""Names of queues and tasks, and the payloads of messages.

A payload holds ids and a schema version, no pixels and no patient data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from veritag.errors import RejectError

SCHEMA = 1
MAX_INSTANCES = 32

QUEUE_INSPECTION = "veritag.inspection"
QUEUE_SETTLING = "veritag.settling"
QUEUE_TRAINING = "veritag.training"

TASK_INSPECT = "veritag.inspect_instances"
TASK_SETTLE = "veritag.settle_series"
TASK_TRAIN = "veritag.train"


class UnknownMessage(RejectError):
    """A message whose schema or shape this version does not know."""


def _ids(payload: Mapping[str, Any], key: str) -> tuple[int, ...]:
    if payload.get("schema") != SCHEMA:
        raise UnknownMessage(f"schema {payload.get('schema')!r}, expected {SCHEMA}")
    ids = payload.get(key)
    if not isinstance(ids, list) or not all(type(i) is int for i in ids):
        raise UnknownMessage(f"{key!r} must be a list of integers")
    return tuple(ids)


@dataclass(frozen=True, slots=True)
class InspectInstances:
    """Request to inspect instances (primary keys in the records, up to 32)."""

    instance_ids: tuple[int, ...]

    def encode(self) -> dict[str, Any]:
        """Return the JSON-ready payload."""
        return {"schema": SCHEMA, "instance_ids": list(self.instance_ids)}

    @classmethod
    def decode(cls, payload: Mapping[str, Any]) -> Self:
        """Read a payload; raises UnknownMessage."""
        return cls(_ids(payload, "instance_ids"))


@dataclass(frozen=True, slots=True)
class SettleSeries:
    """Request to settle series (primary keys in the records)."""

    series_ids: tuple[int, ...]

    def encode(self) -> dict[str, Any]:
        """Return the JSON-ready payload."""
        return {"schema": SCHEMA, "series_ids": list(self.series_ids)}

    @classmethod
    def decode(cls, payload: Mapping[str, Any]) -> Self:
        """Read a payload; raises UnknownMessage."""
        return cls(_ids(payload, "series_ids"))


@dataclass(frozen=True, slots=True)
class TrainBundle:
    """Request to carry out a training run (primary key in the records)."""

    run_id: int

    def encode(self) -> dict[str, Any]:
        """Return the JSON-ready payload."""
        return {"schema": SCHEMA, "run_ids": [self.run_id]}

    @classmethod
    def decode(cls, payload: Mapping[str, Any]) -> Self:
        """Read a payload; raises UnknownMessage."""
        ids = _ids(payload, "run_ids")
        if len(ids) != 1:
            raise UnknownMessage("'run_ids' must name one run")
        return cls(ids[0])
