"""All checks of one instance."""

from datetime import datetime

from pydicom import Dataset

from veritag.findings import Defect
from veritag.judging.checks import (
    dates,
    image_type,
    laterality,
    orientation,
    required_attributes,
    uids,
)
from veritag.judging.checks.header import Header

_CHECKS = (
    required_attributes.missing,
    uids.invalid,
    uids.shared,
    orientation.invalid,
    orientation.disagreeing,
    orientation.against_position,
    laterality.undefined,
    laterality.missing,
    laterality.disagreeing,
    laterality.against_body_part,
    image_type.invalid,
    dates.malformed,
    dates.disagreeing,
)


def check_instance(
    ds: Dataset, *, received_at: datetime | None = None
) -> tuple[Defect, ...]:
    """Return what is wrong in one Data Set by itself.

    Parameters
    ----------
    received_at
        When it arrived, with a time zone; None to leave the clock alone.
    """
    header = Header(ds)
    found = [defect for check in _CHECKS for defect in check(header)]
    if received_at is not None:
        found += dates.ahead(header, received_at)
    return tuple(found)
