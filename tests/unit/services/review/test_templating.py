"""Dates and ages on the pages."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from jinja2 import UndefinedError

from services.review.templating import ago, dicom_date, moment, render


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "just now"),
        (55, "just now"),
        (61, "1 minute ago"),
        (7200, "2 hours ago"),
        (200_000, "2 days ago"),
    ],
)
def test_ages_are_told_roughly(seconds: float, text: str) -> None:
    """One unit is enough, and a clock that runs ahead does no harm."""
    assert ago(datetime.now(UTC) - timedelta(seconds=seconds)) == text


def test_moments_are_told_in_utc() -> None:
    """The page shows each moment in UTC, whatever its time zone."""
    zone = timezone(timedelta(hours=2))
    assert moment(datetime(2026, 1, 2, 1, 0, tzinfo=zone)) == "2026-01-01 23:00:00 UTC"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("20260102", "2026-01-02"),
        ("2026", "2026"),
        (None, ""),
        ("20269999", "20269999"),
    ],
)
def test_study_dates_are_told_as_far_as_they_are_dates(
    value: str | None, text: str
) -> None:
    """A malformed date is shown as it was received."""
    assert dicom_date(value) == text


def test_a_forgotten_value_is_an_error() -> None:
    """A template never shows a hole where a value should be."""
    with pytest.raises(UndefinedError):
        render("error.html", heading="only this")
