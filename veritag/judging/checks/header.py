"""Elements of a Data Set as text, as received."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

_MAX_LENGTH = 1 << 16
_PADDING = " \0"
_ITEMS = "?"
"""Text of a sequence in place of a value: invalid for every check."""


@lru_cache(maxsize=256)
def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is not a keyword of PS3.6")
    return tag


class Header:
    """Reader of the elements of one Data Set as text, malformed ones included.

    Raw values are decoded directly, because pydicom's conversion takes ten times as long
    and the VRs of the checks are text in every transfer syntax (PS3.5 6.2).
    """

    def __init__(self, ds: Dataset) -> None:
        self._ds = ds
        self._texts: dict[str, str | None] = {}

    def text(self, keyword: str) -> str | None:
        """Return a value without its padding, None where the element is absent."""
        if keyword not in self._texts:
            self._texts[keyword] = self._read(keyword)
        return self._texts[keyword]

    def _read(self, keyword: str) -> str | None:
        try:
            element: Any = self._ds.get_item(_tag(keyword))
            return None if element is None else _as_text(element.value)
        except Exception:  # noqa: BLE001 -- a malformed element raises anything at all
            return None

    def value(self, keyword: str) -> str:
        """Return a value without its padding, empty where the element is absent."""
        return self.text(keyword) or ""

    def values(self, keyword: str) -> list[str]:
        """Return the values of an element, an empty list where it is absent or empty."""
        text = self.value(keyword)
        return [part.strip(_PADDING) for part in text.split("\\")] if text else []

    def items(self, keyword: str) -> list["Header"]:
        """Return the items of a sequence, an empty list where it is malformed."""
        try:
            if _tag(keyword) not in self._ds:
                return []
            return [Header(i) for i in self._ds[_tag(keyword)].value if _is_item(i)]
        except Exception:  # noqa: BLE001 -- as above
            return []

    def with_macro(self, macro: str) -> Iterator["Header"]:
        """Yield the places of attributes that Enhanced objects have in a macro.

        The Data Set itself, then the items of the macro in the shared functional groups
        and in those of the middle frame (PS3.3 C.7.6.16).
        """
        yield self
        per_frame = self.items("PerFrameFunctionalGroupsSequence")
        middle = per_frame[len(per_frame) // 2 :][:1]
        for group in (*self.items("SharedFunctionalGroupsSequence")[:1], *middle):
            yield from group.items(macro)[:1]


def _is_item(item: Any) -> bool:
    return isinstance(item, Dataset)


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        text = value[:_MAX_LENGTH].decode("latin-1")
    elif value is None:
        text = ""
    elif isinstance(value, MultiValue | list | tuple):
        text = "\\".join(map(str, value))
    elif isinstance(value, Sequence | Dataset):
        text = _ITEMS
    else:
        text = str(value)
    return text.strip(_PADDING)


def sop_class(header: Header) -> str:
    """Return the end of the SOP Class UID of a Storage class, else an empty text."""
    uid = header.value("SOPClassUID")
    root = "1.2.840.10008.5.1.4.1.1."
    return uid.removeprefix(root) if uid.startswith(root) else ""
