"""The form of UIDs, PS3.5 9.1."""

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
_LONGEST = 64
_RULE = (
    "A UID has at most 64 characters: numbers without leading zeros, with single dots "
    "between them (PS3.5 9.1)."
)
_IDENTITIES = _UIDS[:3]
_SHARED = "Study, series and instance each have a UID of their own (PS3.5 9.1)."
_RIGHT = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*\Z")


def invalid(header: Header) -> Iterator[Defect]:
    """Tell of the first UID of a wrong form and name the others."""
    wrong = [(name, found) for name in _UIDS if (found := flaw(header.value(name)))]
    if wrong:
        (name, found), *others = wrong
        observed = quoting.listed(found, [other for other, _ in others])
        yield Defect(FindingCode.UID_INVALID, name, observed, (), _RULE)


def shared(header: Header) -> Iterator[Defect]:
    """Tell of one UID that stands for two of study, series and instance."""
    for name, other in combinations(_IDENTITIES, 2):
        uid = header.value(name)
        if uid and uid == header.value(other):
            observed = f"the same as {other}"
            yield Defect(FindingCode.UID_INVALID, name, observed, (), _SHARED)
            return


def flaw(uid: str) -> str | None:
    """Return what is wrong with a UID's form, None for a right or empty one."""
    if not uid or (len(uid) <= _LONGEST and _RIGHT.match(uid)):
        return None
    if len(uid) > _LONGEST:
        return f"{len(uid)} characters"
    if not re.fullmatch(r"[0-9.]*", uid):
        return "characters other than digits and dots"
    return "an empty component" if "" in uid.split(".") else "a leading zero"
