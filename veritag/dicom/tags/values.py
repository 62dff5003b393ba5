"""Single values of a Data Set, whatever state they are in."""

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID
from pydicom.valuerep import PersonName

LONGEST = 64
"""Characters that are kept of a text: what CS, LO and UI allow at most (PS3.5 6.2)."""

_READ = 1024
"""Bytes that are looked at where an element holds far more than its VR allows."""

_ESCAPE = b"\x1b"
"""Begins the switch to another character set (PS3.5 6.1.2.5), itself in ASCII."""

_TEXT_VRS = frozenset("AE AS CS DA DS DT IS LO LT PN SH ST TM UI UT".split())


@lru_cache(maxsize=256)
def _element(keyword: str) -> tuple[BaseTag, bool]:
    """Return the tag of a keyword, and whether its values are text."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword!r} is the keyword of no DICOM element")
    return Tag(tag), dictionary_VR(tag) in _TEXT_VRS


def raw_value(ds: Dataset, keyword: str) -> Any:
    """Return a value, None where the element is absent or cannot be read.

    Plain text is taken as it was read: pydicom's conversion into its own types costs
    ten times as much, and nothing here needs them. Anything else is decoded by the
    character set of its Data Set.
    """
    tag, is_text = _element(keyword)
    try:
        element = ds.get_item(tag)
        if element is None:
            return None
        raw = element.value
        if is_text and isinstance(raw, bytes) and _may_be_text(element.VR):
            head = raw[:_READ]
            if head.isascii() and _ESCAPE not in head:
                return head.decode("ascii")
        return ds[tag].value
    except Exception:  # noqa: BLE001 -- a malformed element raises anything at all
        return None


def _may_be_text(vr: str | None) -> bool:
    return vr is None or vr in _TEXT_VRS


def first_item(ds: Dataset, keyword: str) -> Dataset | None:
    """Return the first item of a sequence, None where there is none or it is broken."""
    return _item(ds, keyword, lambda _: 0)


def middle_item(ds: Dataset, keyword: str) -> Dataset | None:
    """Return the item in the middle of a sequence, None where there is none."""
    return _item(ds, keyword, lambda length: length // 2)


def _item(ds: Dataset, keyword: str, place: Callable[[int], int]) -> Dataset | None:
    value = raw_value(ds, keyword)
    if not isinstance(value, Sequence) or not value:
        return None
    item: Dataset = value[place(len(value))]
    return item


def text_of(value: Any) -> str | None:
    """Return a value as printable text, None where it is empty or no text.

    Several values stay apart by backslashes, as received; backslashes alone are empty.
    """
    if isinstance(value, MultiValue | list):
        value = "\\".join(_plain(part) for part in value[:_READ])
    kept = _plain(value)[:_READ]
    if not kept.isprintable():
        # The padding of UI values is a NUL, which is not printable.
        kept = "".join(filter(str.isprintable, kept))
    return kept.strip()[:LONGEST].rstrip() if kept.strip("\\ ") else None


def _plain(value: Any) -> str:
    """Return text and numbers as text; of a sequence nothing, for it may hold names."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    known = isinstance(value, str | int | float | PersonName | UID)
    return str(value) if known else ""


def number_of(value: Any) -> float | None:
    """Return the first of a value's numbers, None where that is none or not finite."""
    parts = _parts(value)
    return _finite(parts[0]) if parts else None


def numbers_of(value: Any) -> tuple[float, ...] | None:
    """Return all numbers of a value, None where any of its parts is none."""
    numbers = [_finite(part) for part in _parts(value)]
    kept = tuple(n for n in numbers if n is not None)
    return kept if kept and len(kept) == len(numbers) else None


def _finite(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _parts(value: Any) -> list[Any]:
    if isinstance(value, str):
        return list(value.strip("\0 ").split("\\"))
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return list(value)
    return [value]
