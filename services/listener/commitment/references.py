"""The references in the Action Information of a commitment request (PS3.4 table J.3-1).

The Data Set comes from the network, so that only needed elements are decoded: the reader
walks over element headers, does not recurse, and stops beyond a number of references.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from veritag.dicom.elements import EXPLICIT_BIG, IMPLICIT_LITTLE, is_uid, read_header
from veritag.errors import RejectError
from veritag.storage.commitment_folder import ReferencedInstance

_TRANSACTION_UID = 0x00081195
_REFERENCED_SOP_SEQUENCE = 0x00081199
_CLASS, _INSTANCE = 0x00081150, 0x00081155
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_LONGEST_UID = 64


class NotUnderstood(RejectError):
    """Action Information that lacks a required element or cannot be read."""


class TooManyReferences(RejectError):
    """A request with more references than are accepted."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """An encoded Data Set, read sequentially."""

    stream: BinaryIO
    order: str
    implicit: bool
    size: int

    def headers(self, end: int, delimiter: int) -> Iterator[tuple[int, int]]:
        """Yield tag and length of the elements up to a position or a delimiter."""
        while self.stream.tell() < end:
            header = read_header(self.stream, self.order, self.implicit)
            if header is None:
                raise NotUnderstood("The Data Set is truncated")
            tag, _, length = header
            if tag == delimiter:
                return
            yield tag, length

    def end_of(self, length: int) -> int:
        """Return the end of a value; for undefined length that of the Data Set."""
        end = self.size if length == _UNDEFINED else self.stream.tell() + length
        if end > self.size:
            raise NotUnderstood("The Data Set is truncated")
        return end

    def skip(self, length: int) -> None:
        """Skip a value; the nesting depth is counted, without recursion."""
        if length != _UNDEFINED:
            self.stream.seek(self.end_of(length))
            return
        depth = 1
        while depth:
            header = read_header(self.stream, self.order, self.implicit)
            if header is None:
                raise NotUnderstood("The Data Set is truncated")
            tag, _, inner = header
            if tag in (_ITEM_END, _SEQUENCE_END):
                depth -= 1
            elif inner == _UNDEFINED:
                depth += 1
            else:
                self.stream.seek(self.end_of(inner))

    def uid(self, length: int) -> str:
        """Read a UID."""
        if length > _LONGEST_UID + 1:
            raise NotUnderstood("A UID is too long")
        value = self.stream.read(length).rstrip(b" \0").decode("ascii", "replace")
        if not is_uid(value):
            raise NotUnderstood("A UID cannot be used")
        return value


def read_references(
    encoded: bytes, transfer_syntax_uid: str, limit: int
) -> tuple[str, tuple[ReferencedInstance, ...]]:
    """Return Transaction UID and references of the Action Information.

    Parameters
    ----------
    limit
        Number of references that are accepted.

    Raises
    ------
    NotUnderstood
        If one of both is missing, or the Data Set cannot be read.
    TooManyReferences
        If there are more than `limit`.
    """
    reader = _Reader(
        io.BytesIO(encoded),
        ">" if transfer_syntax_uid == EXPLICIT_BIG else "<",
        transfer_syntax_uid == IMPLICIT_LITTLE,
        len(encoded),
    )
    transaction, references = "", list[ReferencedInstance]()
    for tag, length in reader.headers(len(encoded), 0):
        if tag == _TRANSACTION_UID:
            transaction = reader.uid(length)
        elif tag == _REFERENCED_SOP_SEQUENCE:
            for reference in _items(reader, length):
                references.append(reference)
                if len(references) > limit:
                    raise TooManyReferences(f"More than {limit} instances")
        else:
            reader.skip(length)
    if not transaction or not references:
        raise NotUnderstood("Transaction UID or Referenced SOP Sequence is missing")
    return transaction, tuple(references)


def _items(reader: _Reader, length: int) -> Iterator[ReferencedInstance]:
    for tag, inner in reader.headers(reader.end_of(length), _SEQUENCE_END):
        if tag != _ITEM:
            raise NotUnderstood("The Referenced SOP Sequence has no items")
        yield _reference(reader, inner)


def _reference(reader: _Reader, length: int) -> ReferencedInstance:
    uids: dict[int, str] = {}
    for tag, inner in reader.headers(reader.end_of(length), _ITEM_END):
        if tag in (_CLASS, _INSTANCE):
            uids[tag] = reader.uid(inner)
        else:
            reader.skip(inner)
    if len(uids) < len((_CLASS, _INSTANCE)):
        raise NotUnderstood("A reference lacks its SOP Class or Instance UID")
    return ReferencedInstance(uids[_CLASS], uids[_INSTANCE])
