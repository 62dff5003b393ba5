"""Dates and times: their form (PS3.5 6.2), their order, and the clock that wrote them.

Dates may identify a patient: what is observed is told by its form or as a distance.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta

from veritag.findings import Defect, FindingCode
from veritag.judging.checks import quoting
from veritag.judging.checks.header import Header

_MOMENTS = {
    "StudyDate": "StudyTime",
    "SeriesDate": "SeriesTime",
    "AcquisitionDate": "AcquisitionTime",
    "ContentDate": "ContentTime",
}
_DATES = (*_MOMENTS, "PatientBirthDate")
_TIME = re.compile(
    r"([01]\d|2[0-3])(([0-5]\d)(([0-5]\d|60)(\.\d{1,6})?)?)?\Z", re.ASCII
)
_ZONE = re.compile(r"([+-])(0\d|1[0-4])([0-5]\d)\Z", re.ASCII)

_FARTHEST_EAST = timedelta(hours=14)
"""No clock on Earth is further ahead of UTC (PS3.3 C.12.1 allows no more)."""

SKEW = timedelta(hours=1)
"""How far a clock may be ahead before it is worth a word."""

_A_DAY = timedelta(days=1)
"""Zones and midnights: a date is known to within a day."""

_FORM_RULE = (
    "A date is YYYYMMDD and a day of the calendar, a time HHMMSS.FFFFFF or a beginning "
    "of it (PS3.5 6.2)."
)
_ORDER_RULE = (
    "Study Date is when the study started (PS3.3 C.7.2.1): an original image of it is "
    "not acquired before (C.7.6.1)."
)
_BIRTH_RULE = "Patients are born before they are examined (PS3.3 C.7.1.1, C.7.2.1)."
_CLOCK_RULE = (
    "Nothing arrives before it was made: date and time are ahead of the arrival, in "
    "whatever time zone (PS3.3 C.12.1)."
)


def malformed(header: Header) -> Iterator[Defect]:
    """Tell of the first date or time of a wrong form and name the others."""
    wrong = [
        *(name for name in _DATES if _is_wrong(header.value(name), _day)),
        *(name for name in _MOMENTS.values() if _is_wrong(header.value(name), _clock)),
    ]
    if wrong:
        first, *others = wrong
        observed = quoting.listed(_told(header.value(first)), others)
        yield Defect(FindingCode.DATE_INVALID, first, observed, (), _FORM_RULE)


def _told(value: str) -> str:
    well_formed = len(value) == 8 and value.isdigit()  # noqa: PLR2004 -- YYYYMMDD
    return "no day of the calendar" if well_formed else quoting.form(value)


def _is_wrong(value: str, parse: Callable[[str], object]) -> bool:
    return bool(value) and parse(value) is None


def _day(value: str) -> date | None:
    if not re.fullmatch(r"\d{8}", value, re.ASCII):
        return None
    try:
        return date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError:
        return None


def _clock(value: str) -> time | None:
    found = _TIME.match(value)
    if not found:
        return None
    hour, _, minute, _, second, _ = found.groups()
    # 60 is a leap second (PS3.5 6.2).
    return time(int(hour), int(minute or 0), min(59, int(second or 0)))


def disagreeing(header: Header) -> Iterator[Defect]:
    """Tell of an image acquired before its study, and of a study before the birth."""
    study = _day(header.value("StudyDate"))
    if study is None:
        return
    code = FindingCode.DATES_DISAGREE
    if header.values("ImageType")[:1] == ["ORIGINAL"]:
        for name in ("AcquisitionDate", "ContentDate"):
            made = _day(header.value(name))
            if made and study - made > _A_DAY:
                observed = f"{(study - made).days} days before Study Date"
                yield Defect(code, name, observed, (), _ORDER_RULE)
                break
    birth = _day(header.value("PatientBirthDate"))
    if birth and birth - study > _A_DAY:
        observed = "after Study Date"
        yield Defect(code, "PatientBirthDate", observed, (), _BIRTH_RULE)


def ahead(header: Header, received_at: datetime) -> Iterator[Defect]:
    """Tell of the first date and time that lie after the arrival."""
    zone = _zone(header.value("TimezoneOffsetFromUTC"))
    latest = received_at.astimezone(UTC).replace(tzinfo=None) + zone + SKEW
    for day_name, time_name in _MOMENTS.items():
        day = _day(header.value(day_name))
        if day is None:
            continue
        moment = datetime.combine(day, _clock(header.value(time_name)) or time())
        if moment > latest:
            observed = _distance(moment - latest + SKEW)
            code = FindingCode.DATE_IN_FUTURE
            yield Defect(code, day_name, observed, (), _CLOCK_RULE)
            return


def _zone(value: str) -> timedelta:
    """Return the offset from UTC; the greatest that can be where none is told."""
    found = _ZONE.match(value)
    if not found:
        return _FARTHEST_EAST
    sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return offset if sign == "+" else -offset


def _distance(ahead_by: timedelta) -> str:
    hours = ahead_by // timedelta(hours=1)
    told = f"{hours // 24} days" if hours >= 48 else f"{hours} hours"  # noqa: PLR2004
    return f"{told} ahead of its arrival"
