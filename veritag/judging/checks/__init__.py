"""Deterministic checks of a Data Set against DICOM.

Few and exact: each check cites the section of DICOM that it rests on and reports a
defect only where that section is certainly violated. The checks raise no exception on
malformed elements and quote no patient data.
"""

from veritag.judging.checks.instance import check_instance
from veritag.judging.checks.series_facts import series_facts

__all__ = ["check_instance", "series_facts"]
