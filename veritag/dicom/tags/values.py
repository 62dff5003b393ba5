"""Single values of a Data Set, read without raising on malformed elements."""

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

MAX_LENGTH = 64
"""Characters kept of a text: the maximum of LO and UI (PS3.5 6.2)."""

_MAX_READ = 1024
"""Bytes or values read of an element that holds far more than its VR allows."""

_ESCAPE = b"\x1b"
"""Starts the switch to another character set (PS3.5 6.1.2.5); itself ASCII."""

_TEXT_VRS = frozenset("AE AS CS DA DS DT IS LO LT PN SH ST TM UI UT".split())


@lru_cache(maxsize=256)
def _element(keyword: str) -> tuple[BaseTag, bool]:
    """Return the tag of a keyword, and whether its values are text."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword!r} is not a keyword of DICOM")
    return Tag(tag), dictionary_VR(tag) in _TEXT_VRS


def raw_value(ds: Dataset, keyword: str) -> Any:
    """Return a value, None where the element is absent or cannot be read.

    ASCII text is returned as read, because pydicom's conversion into its own types takes
    ten times as long and is not needed. All other values are decoded by pydicom with the
    character set of the Data Set.
    """
    tag, is_text = _element(keyword)
    try:
        element = ds.get_item(tag)
        if element is None:
            return None
        raw = element.value
        if is_text and isinstance(raw, bytes) and _may_be_text(element.VR):
            head = raw[:_MAX_READ]
            # ASCII means the same in every character set, unless it is switched.
            if head.isascii() and _ESCAPE not in head:
                return head.decode("ascii")
        return ds[tag].value
    except Exception:  # noqa: BLE001 -- a malformed element raises anything at all
        return None


def _may_be_text(vr: str | None) -> bool:
    return vr is None or vr in _TEXT_VRS


def first_item(ds: Dataset, keyword: str) -> Dataset | None:
    """Return the first item of a sequence, None where it is absent or malformed."""
    return _item(ds, keyword, lambda _: 0)


def middle_item(ds: Dataset, keyword: str) -> Dataset | None:
    """Return the middle item of a sequence, None where it is absent or malformed."""
    return _item(ds, keyword, lambda length: length // 2)


def _item(ds: Dataset, keyword: str, index_of: Callable[[int], int]) -> Dataset | None:
    value = raw_value(ds, keyword)
    if not isinstance(value, Sequence) or not value:
        return None
    item: Dataset = value[index_of(len(value))]
    return item


def text_of(value: Any) -> str | None:
    """Return a value as printable text, None where it is empty or not text.

    Several values are joined by backslashes, as received; backslashes alone are empty.
    """
    if isinstance(value, MultiValue | list):
        value = "\\".join(_as_text(part) for part in value[:_MAX_READ])
    text = _as_text(value)[:_MAX_READ]
    if not text.isprintable():
        # The padding of UI values is a NUL, which is not printable.
        text = "".join(filter(str.isprintable, text))
    return text.strip()[:MAX_LENGTH].rstrip() if text.strip("\\ ") else None


def _as_text(value: Any) -> str:
    """Return text and numbers as text; nothing of a sequence, which may hold names."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    has_text = isinstance(value, str | int | float | PersonName | UID)
    return str(value) if has_text else ""


def number_of(value: Any) -> float | None:
    """Return the first number of a value, None where it is not a finite number."""
    parts = _parts(value)
    return _finite(parts[0]) if parts else None


def numbers_of(value: Any) -> tuple[float, ...] | None:
    """Return all numbers of a value, None where any part is not a finite number."""
    numbers = [_finite(part) for part in _parts(value)]
    finite = tuple(n for n in numbers if n is not None)
    return finite if finite and len(finite) == len(numbers) else None


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
