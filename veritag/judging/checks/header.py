"""Elements of a Data Set as text, as they were received."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

_LONGEST = 1 << 16
_PADDING = " \0"
_ITEMS = "?"


@lru_cache(maxsize=256)
def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is no keyword of PS3.6")
    return tag


class Header:
    """Reads elements of one Data Set; what is malformed reads as text of some kind.

    Raw values are taken as they are: pydicom's conversion costs ten times as much, and
    the VRs that checks look at are text in every transfer syntax (PS3.5 6.2).
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
        """Return a value without its padding, empty where there is none."""
        return self.text(keyword) or ""

    def values(self, keyword: str) -> list[str]:
        """Return the values of an element; the empty list where there are none."""
        text = self.value(keyword)
        return [part.strip(_PADDING) for part in text.split("\\")] if text else []

    def items(self, keyword: str) -> list["Header"]:
        """Return the items of a sequence."""
        try:
            if _tag(keyword) not in self._ds:
                return []
            return [Header(i) for i in self._ds[_tag(keyword)].value if _is_item(i)]
        except Exception:  # noqa: BLE001 -- likewise
            return []

    def holders(self, macro: str) -> Iterator["Header"]:
        """Yield where an Enhanced object tells what others tell at the top.

        The Data Set itself, then the macro's items in the shared functional groups and
        in those of the middle frame (PS3.3 C.7.6.16).
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
        text = value[:_LONGEST].decode("latin-1")
    elif value is None:
        text = ""
    elif isinstance(value, MultiValue | list | tuple):
        text = "\\".join(map(str, value))
    elif isinstance(value, Sequence | Dataset):
        # Items where a value is due: no value that any check takes for right.
        text = _ITEMS
    else:
        text = str(value)
    return text.strip(_PADDING)


def sop_class(header: Header) -> str:
    """Return the last part of the SOP Class UID of a Storage class, else nothing."""
    uid = header.value("SOPClassUID")
    root = "1.2.840.10008.5.1.4.1.1."
    return uid.removeprefix(root) if uid.startswith(root) else ""
