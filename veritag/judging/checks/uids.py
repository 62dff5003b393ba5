"""Checks of UIDs (PS3.5 9.1)."""

import re
from collections.abc import Iterator
from itertools import combinations

from veritag.findings import Defect, FindingCode
from veritag.judging.checks import quoting
from veritag.judging.checks.header import Header

_UIDS = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "SOPClassUID",
    "FrameOfReferenceUID",
)
_MAX_LENGTH = 64
_RULE = (
    "A UID has at most 64 characters: numbers without leading zeros, with single dots "
    "between them (PS3.5 9.1)."
)
_HIERARCHY = _UIDS[:3]
_DISTINCT_RULE = "Study, series and instance each have a UID of their own (PS3.5 9.1)."
_VALID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*\Z")


def check_form(header: Header) -> Iterator[Defect]:
    """Yield one defect: the first invalid UID, with the names of the others."""
    flaws = [(name, flaw) for name in _UIDS if (flaw := find_flaw(header.value(name)))]
    if flaws:
        (name, flaw), *others = flaws
        observed = quoting.with_others(flaw, [other for other, _ in others])
        yield Defect(FindingCode.UID_INVALID, name, observed, (), _RULE)


def check_distinct(header: Header) -> Iterator[Defect]:
    """Yield a defect if two of study, series and instance have the same UID."""
    for name, other in combinations(_HIERARCHY, 2):
        uid = header.value(name)
        if uid and uid == header.value(other):
            observed = f"the same as {other}"
            yield Defect(FindingCode.UID_INVALID, name, observed, (), _DISTINCT_RULE)
            return


def find_flaw(uid: str) -> str | None:
    """Return what is wrong with the form of a UID, None for a valid or empty one."""
    if not uid or (len(uid) <= _MAX_LENGTH and _VALID.match(uid)):
        return None
    if len(uid) > _MAX_LENGTH:
        return f"{len(uid)} characters"
    if not re.fullmatch(r"[0-9.]*", uid):
        return "characters other than digits and dots"
    return "an empty component" if "" in uid.split(".") else "a leading zero"
