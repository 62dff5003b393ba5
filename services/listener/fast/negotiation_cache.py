"""Caches of decoded requests, negotiated contexts and encoded items of associations.

A modality requests the same 128 presentation contexts each time, with the same bytes.
pynetdicom takes 5 ms to decode, check, negotiate and encode them. Associations share the
results, which nothing modifies.

Replaced in pynetdicom 3.0: `acse.negotiate_as_acceptor`, and `set_uid` of `presentation`
and `pdu_items`. Other names there would leave pynetdicom as slow as it is, not wrong.
"""

from collections.abc import Hashable
from functools import lru_cache
from threading import Lock
from typing import Any

import pynetdicom
from cachetools import LRUCache, cached
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_items import PresentationContextItemAC
from pynetdicom.presentation import PresentationContext

_MAX_REQUESTS = _MAX_NEGOTIATIONS = 64
# 128 contexts, each with all transfer syntaxes, are longer; such a request is not cached.
_MAX_REQUEST_BYTES = 1 << 16
_MAX_UIDS = _MAX_ITEMS = 4096


class DecodedRequest(A_ASSOCIATE_RQ):
    """A decoded A-ASSOCIATE-RQ that makes its primitive once."""

    def __init__(self, encoded: bytes) -> None:
        super().__init__()
        self.decode(encoded)
        self._primitive = super().to_primitive()

    def to_primitive(self) -> Any:
        """Return the primitive; pynetdicom's acceptor reads it only."""
        return self._primitive


_cached_request = lru_cache(_MAX_REQUESTS)(DecodedRequest)


def decode_request(encoded: bytes) -> A_ASSOCIATE_RQ:
    """Decode an A-ASSOCIATE-RQ (PS3.8 section 9.3.2), the same bytes once."""
    if len(encoded) > _MAX_REQUEST_BYTES:
        return DecodedRequest(encoded)
    return _cached_request(encoded)


class EncodedItem(bytes):
    """An encoded item of a PDU, for a PDU that encodes its items."""

    def encode(self) -> bytes:
        """Return the item."""
        return self


def use_encoded_items(pdu: A_ASSOCIATE_AC) -> None:
    """Replace the contexts of an A-ASSOCIATE-AC (PS3.8 section 9.3.3) by encoded ones."""
    items: Any = [
        _encoded(item) if isinstance(item, PresentationContextItemAC) else item
        for item in pdu.variable_items
    ]
    pdu.variable_items = items


def _item_key(item: PresentationContextItemAC) -> Hashable:
    """Return all that is encoded of an item."""
    syntax = item.transfer_syntax_sub_item[0].transfer_syntax_name
    return item.presentation_context_id, item.result_reason, syntax


# An LRUCache is not safe between threads; the lock is not held while a value is made.
@cached(LRUCache[Hashable, EncodedItem](_MAX_ITEMS), key=_item_key, lock=Lock())
def _encoded(item: PresentationContextItemAC) -> EncodedItem:
    return EncodedItem(item.encode())


def cache_negotiations() -> None:
    """Let pynetdicom negotiate the same contexts, and check the same UIDs, once."""
    acse: Any = pynetdicom.acse
    negotiate = acse.negotiate_as_acceptor
    if negotiate is not pynetdicom.presentation.negotiate_as_acceptor:
        return  # replaced already, by another Acceptor of this process
    acse.negotiate_as_acceptor = caching(negotiate)
    set_uid = lru_cache(_MAX_UIDS)(pynetdicom.utils.set_uid)
    modules: tuple[Any, ...] = pynetdicom.presentation, pynetdicom.pdu_items
    for module in modules:
        module.set_uid = set_uid


def caching(negotiate: Any) -> Any:
    """Return `negotiate_as_acceptor` with a cache.

    Proposed roles go past the cache: they are rare, and part of the result.
    """
    cache = LRUCache[Hashable, Any](_MAX_NEGOTIATIONS)
    negotiate_once = cached(cache, key=_negotiation_key, lock=Lock())(negotiate)

    def cached_negotiate(
        requested: list[PresentationContext],
        supported: list[PresentationContext],
        roles: Any = None,
    ) -> Any:
        if roles:
            return negotiate(requested, supported, roles)
        return negotiate_once(requested, supported)

    return cached_negotiate


def _negotiation_key(
    requested: list[PresentationContext], supported: list[PresentationContext]
) -> Hashable:
    return _contexts_key(requested), _contexts_key(supported)


def _contexts_key(contexts: list[PresentationContext]) -> Hashable:
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
