"""What was worked out for one association and is the same for the next.

A modality asks for the same 128 presentation contexts each time, with the very same
bytes. pynetdicom takes 5 ms to decode, check, negotiate and encode them; what it made of
them is kept here and shared, for nothing writes to it.

This rests on internals of pynetdicom 3.0; its version is pinned.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from threading import Lock
from typing import Any, Generic, TypeVar

import pynetdicom
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_items import PresentationContextItemAC
from pynetdicom.presentation import PresentationContext

_KEPT = 64
# One of 128 contexts, each with all transfer syntaxes, has more; it is not kept.
_LONGEST = 1 << 16
_SOME_UIDS = _SOME_ITEMS = 4096

T = TypeVar("T")


class Few(Generic[T]):
    """The results that were used last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Any, T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """Return what is kept, or make it."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made


class KnownRequest(A_ASSOCIATE_RQ):
    """An A-ASSOCIATE-RQ that was decoded, with its primitive."""

    def __init__(self, encoded: bytes) -> None:
        super().__init__()
        self.decode(encoded)
        self._primitive = super().to_primitive()

    def to_primitive(self) -> Any:
        """Return the primitive."""
        return self._primitive


_requests = Few[KnownRequest]()
_negotiations = Few[Any]()


def decode_request(encoded: bytes) -> A_ASSOCIATE_RQ:
    """Decode an A-ASSOCIATE-RQ (PS3.8 section 9.3.2), the same bytes once."""
    if len(encoded) > _LONGEST:
        return KnownRequest(encoded)
    return _requests.get(encoded, lambda: KnownRequest(encoded))


class KnownItem(bytes):
    """An item of a PDU that was encoded before."""

    def encode(self) -> bytes:
        """Return the item."""
        return self


_items: dict[Any, KnownItem] = {}


def use_known_items(pdu: A_ASSOCIATE_AC) -> None:
    """Let an A-ASSOCIATE-AC (PS3.8 section 9.3.3) be encoded from what is known."""
    items: Any = [_known(item) for item in pdu.variable_items]
    pdu.variable_items = items


def _known(item: Any) -> Any:
    if not isinstance(item, PresentationContextItemAC):
        return item
    syntax = item.transfer_syntax_sub_item[0].transfer_syntax_name
    key = item.presentation_context_id, item.result_reason, syntax
    known = _items.get(key)
    if known is None:
        if len(_items) >= _SOME_ITEMS:
            _items.clear()  # of other threads, too: they hold what they found
        known = _items[key] = KnownItem(item.encode())
    return known


def remember_negotiations() -> None:
    """Let pynetdicom negotiate the same contexts, and check the same UIDs, once."""
    acse: Any = pynetdicom.acse
    negotiate = acse.negotiate_as_acceptor
    if negotiate is not pynetdicom.presentation.negotiate_as_acceptor:
        return  # it does already

    def remembered(
        requested: list[PresentationContext],
        supported: list[PresentationContext],
        roles: Any = None,
    ) -> Any:
        if roles:
            return negotiate(requested, supported, roles)
        key = _key(requested), _key(supported)
        return _negotiations.get(key, lambda: negotiate(requested, supported, roles))

    acse.negotiate_as_acceptor = remembered
    set_uid = lru_cache(_SOME_UIDS)(pynetdicom.utils.set_uid)
    modules: tuple[Any, ...] = pynetdicom.presentation, pynetdicom.pdu_items
    for module in modules:
        module.set_uid = set_uid


def _key(contexts: list[PresentationContext]) -> tuple[Any, ...]:
    return tuple(
        (
            c.context_id,
            c.abstract_syntax,
            tuple(c.transfer_syntax),
            c.scu_role,
            c.scp_role,
        )
        for c in contexts
    )
