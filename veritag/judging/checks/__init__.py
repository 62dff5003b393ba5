"""Deterministic checks: what a Data Set says that cannot be right.

Few and exact: each check cites the part of DICOM that it rests on and speaks only where
that part is broken beyond doubt. Nothing here raises on whatever was received, and
nothing quotes patient data.
"""

from veritag.judging.checks.instance import check_instance
from veritag.judging.checks.series_facts import series_facts

__all__ = ["check_instance", "series_facts"]
