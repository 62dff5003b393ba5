"""Builders of receptions and verdicts for the records."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from veritag.findings import Verdict, VerdictStatus
from veritag.storage.stored_instance import Provenance, StoredInstance

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
def reception() -> Callable[..., StoredInstance]:
    """Return a factory of receptions, each of a new instance by default."""
    numbers = count(1)

    def make(*, seconds_ago: float = 0, **changes: Any) -> StoredInstance:
        number = next(numbers)
        origin = Provenance(
            "SCANNER1",
            "VERITAG",
            "127.0.0.1",
            "association-1",
            datetime.now(UTC) - timedelta(seconds=seconds_ago),
        )
        values: dict[str, Any] = {
            "spool_name": f"spool-{number}",
            "digest": f"{number:032x}",
            "archive_key": f"aa/bb/{number:032x}.dcm",
            "size": 1000,
            "sop_class_uid": CT_IMAGE_STORAGE,
            "sop_instance_uid": f"1.2.3.{number}",
            "transfer_syntax_uid": "1.2.840.10008.1.2.1",
            "study_instance_uid": "1.2.3.100",
            "series_instance_uid": "1.2.3.100.1",
            "provenance": origin,
        }
        return StoredInstance(**{**values, **changes})

    return make


@pytest.fixture
def verdict() -> Callable[..., Verdict]:
    """Return a factory of verdicts of a chest CT."""

    def make(bundle_id: str = "vb-1", **changes: Any) -> Verdict:
        values: dict[str, Any] = {
            "bundle_id": bundle_id,
            "status": VerdictStatus.INSPECTED,
            "sop_class_uid": CT_IMAGE_STORAGE,
            "tags": {"Modality": "CT", "ImageOrientationPatient": (1, 0, 0, 0, 1, 0)},
            "cluster": 3,
            "cluster_probability": 0.5,
            "novelty": 0.2,
            "soft_assignment": (0.5, 0.25, 0.25),
        }
        return Verdict(**{**values, **changes})

    return make
