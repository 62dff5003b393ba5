"""Fixtures that build receptions and verdicts for the records."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from tests.builders import verdicts
from veritag.findings import Verdict
from veritag.storage.stored_instance import Provenance, StoredInstance


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
            "sop_class_uid": verdicts.CT,
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
    """Return a factory of verdicts of an axial CT whose body part is not stated."""
    tags = verdicts.tags()
    del tags["BodyPartExamined"]

    def make(bundle_id: str = "vb-1", **changes: Any) -> Verdict:
        # Probabilities that float32 holds exactly, because the records store that.
        usual = verdicts.verdict(
            bundle_id=bundle_id,
            tags=tags,
            soft_assignment=(0.5, 0.25, 0.25),
            tag_probability=(0.75, 0.25),
        )
        return replace(usual, **changes)

    return make
