"""Check of Image Type (0008,0008), PS3.3 C.7.6.1.1.2."""

from collections.abc import Iterator

from veritag.findings import Defect, FindingCode
from veritag.judging.checks import quoting
from veritag.judging.checks.header import Header
from veritag.terms.sop_classes import IMAGE_STORAGE, MULTI_FRAME_GROUPS

_PIXELS = frozenset({"ORIGINAL", "DERIVED"})
_EXAMINATION = frozenset({"PRIMARY", "SECONDARY"})
_RULE = (
    "Value 1 of Image Type is ORIGINAL or DERIVED (MIXED in objects with functional "
    "groups), value 2 is PRIMARY or SECONDARY (PS3.3 C.7.6.1.1.2, C.8.16.1)."
)


def check(header: Header) -> Iterator[Defect]:
    """Yield a defect if the first two values are not those of the standard."""
    uid = header.value("SOPClassUID")
    values = header.values("ImageType")
    if uid not in IMAGE_STORAGE or not values:
        return
    pixels, examination, *_ = (*values, "")
    mixed = pixels == "MIXED" and uid in MULTI_FRAME_GROUPS
    if (pixels in _PIXELS or mixed) and examination in _EXAMINATION:
        return
    observed = quoting.quote_code("\\".join(values[:2]))
    yield Defect(
        FindingCode.IMAGE_TYPE_INVALID, "ImageType", observed, _intended(values), _RULE
    )


def _intended(values: list[str]) -> tuple[str, ...]:
    """Return the probably intended pair, if one word of each set occurs anywhere."""
    words = {word.upper() for value in values for word in value.split()}
    pixels, examination = words & _PIXELS, words & _EXAMINATION
    if len(pixels) == len(examination) == 1:
        return ("\\".join((*pixels, *examination)),)
    return ()
