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
    required_attributes.check,
    uids.check_form,
    uids.check_distinct,
    orientation.check_cosines,
    orientation.check_letters,
    orientation.check_position,
    laterality.check_terms,
    laterality.check_presence,
    laterality.check_agreement,
    laterality.check_body_part,
    image_type.check,
    dates.check_form,
    dates.check_order,
)


def check_instance(
    ds: Dataset, *, received_at: datetime | None = None
) -> tuple[Defect, ...]:
    """Return the defects of one Data Set.

    Parameters
    ----------
    received_at
        Time of arrival, with a time zone; None to skip the check of the clock.
    """
    header = Header(ds)
    defects = [defect for check in _CHECKS for defect in check(header)]
    if received_at is not None:
        defects += dates.check_clock(header, received_at)
    return tuple(defects)
