"""Checks of dates and times: form (PS3.5 6.2), order, and clock of the sender.

Dates may identify a patient: defects quote their pattern or an interval only.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta

from veritag.findings import Defect, FindingCode
from veritag.judging.checks import quoting
from veritag.judging.checks.header import Header

_TIME_OF_DATE = {
    "StudyDate": "StudyTime",
    "SeriesDate": "SeriesTime",
    "AcquisitionDate": "AcquisitionTime",
    "ContentDate": "ContentTime",
}
_DATES = (*_TIME_OF_DATE, "PatientBirthDate")
_TIME = re.compile(
    r"([01]\d|2[0-3])(([0-5]\d)(([0-5]\d|60)(\.\d{1,6})?)?)?\Z", re.ASCII
)
_ZONE = re.compile(r"([+-])(0\d|1[0-4])([0-5]\d)\Z", re.ASCII)

_EASTERNMOST = timedelta(hours=14)
"""The easternmost time zone (PS3.3 C.12.1 allows no larger offset)."""

SKEW = timedelta(hours=1)
"""How far a clock may be ahead before it is reported."""

_A_DAY = timedelta(days=1)
"""Because of time zones and midnight, a date is known to within a day."""

_FORM_RULE = (
    "A date has the form YYYYMMDD and is a day of the calendar; a time has the form "
    "HHMMSS.FFFFFF, of which only the beginning is required (PS3.5 6.2)."
)
_ORDER_RULE = (
    "Study Date is the date on which the study started (PS3.3 C.7.2.1): no original "
    "image of the study is acquired before it (C.7.6.1)."
)
_BIRTH_RULE = "Patient's Birth Date is not after Study Date (PS3.3 C.7.1.1, C.7.2.1)."
_CLOCK_RULE = (
    "A date and time of an instance is not later than its arrival, in its own time "
    "zone or else in the easternmost one (PS3.3 C.12.1)."
)


def check_form(header: Header) -> Iterator[Defect]:
    """Yield one defect: the first invalid date or time, with the names of the others."""
    invalid = [
        *(name for name in _DATES if _is_invalid(header.value(name), _day)),
        *(
            name
            for name in _TIME_OF_DATE.values()
            if _is_invalid(header.value(name), _clock)
        ),
    ]
    if invalid:
        first, *others = invalid
        observed = quoting.with_others(_quote_date(header.value(first)), others)
        yield Defect(FindingCode.DATE_INVALID, first, observed, (), _FORM_RULE)


def _quote_date(value: str) -> str:
    well_formed = len(value) == 8 and value.isdigit()  # noqa: PLR2004 -- YYYYMMDD
    return "not a day of the calendar" if well_formed else quoting.pattern(value)


def _is_invalid(value: str, parse: Callable[[str], object]) -> bool:
    return bool(value) and parse(value) is None


def _day(value: str) -> date | None:
    if not re.fullmatch(r"\d{8}", value, re.ASCII):
        return None
    try:
        return date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError:
        return None


def _clock(value: str) -> time | None:
    match = _TIME.match(value)
    if not match:
        return None
    hour, _, minute, _, second, _ = match.groups()
    # 60 is a leap second (PS3.5 6.2), which `time` does not accept.
    return time(int(hour), int(minute or 0), min(59, int(second or 0)))


def check_order(header: Header) -> Iterator[Defect]:
    """Yield defects of an acquisition before the study and of a birth after it."""
    study = _day(header.value("StudyDate"))
    if study is None:
        return
    code = FindingCode.DATES_DISAGREE
    # A derived image may be made from an acquisition of an earlier study.
    if header.values("ImageType")[:1] == ["ORIGINAL"]:
        for name in ("AcquisitionDate", "ContentDate"):
            acquired = _day(header.value(name))
            if acquired and study - acquired > _A_DAY:
                observed = f"{(study - acquired).days} days before Study Date"
                yield Defect(code, name, observed, (), _ORDER_RULE)
                break
    birth = _day(header.value("PatientBirthDate"))
    if birth and birth - study > _A_DAY:
        observed = "after Study Date"
        yield Defect(code, "PatientBirthDate", observed, (), _BIRTH_RULE)


def check_clock(header: Header, received_at: datetime) -> Iterator[Defect]:
    """Yield a defect of the first date and time that are later than the arrival."""
    zone = _zone(header.value("TimezoneOffsetFromUTC"))
    latest = received_at.astimezone(UTC).replace(tzinfo=None) + zone + SKEW
    for day_name, time_name in _TIME_OF_DATE.items():
        day = _day(header.value(day_name))
        if day is None:
            continue
        moment = datetime.combine(day, _clock(header.value(time_name)) or time())
        if moment > latest:
            observed = _interval(moment - latest + SKEW)
            code = FindingCode.DATE_IN_FUTURE
            yield Defect(code, day_name, observed, (), _CLOCK_RULE)
            return


def _zone(value: str) -> timedelta:
    """Return an offset from UTC, by default the largest possible one."""
    match = _ZONE.match(value)
    if not match:
        return _EASTERNMOST
    sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return offset if sign == "+" else -offset


def _interval(ahead_by: timedelta) -> str:
    hours = ahead_by // timedelta(hours=1)
    interval = f"{hours // 24} days" if hours >= 48 else f"{hours} hours"  # noqa: PLR2004
    return f"{interval} ahead of its arrival"
