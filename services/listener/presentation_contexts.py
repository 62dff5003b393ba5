"""Supported presentation contexts (PS3.8 section 9.3.2, PS3.4 annex B).

pynetdicom copies every supported context for each association, which takes 88 ms with all
storage SOP Classes. So the contexts are made for each request, from those it proposes.
"""

from collections.abc import Iterable
from functools import cache, lru_cache

from pydicom._uid_dict import UID_dictionary
from pynetdicom import AllStoragePresentationContexts
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.service_class import ServiceClass
from pynetdicom.sop_class import uid_to_service_class

from veritag.dicom.elements import EXPLICIT_BIG, IMPLICIT_LITTLE
from veritag.storage.commitment_folder import PUSH_MODEL

VERIFICATION = "1.2.840.10008.1.1"
# Supported SOP Classes other than storage.
SERVICES = frozenset({VERIFICATION, PUSH_MODEL})

# Never sent over a network (PS3.4 annex I).
_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"


def _unserved_storage() -> set[str]:
    """Return the storage SOP Classes of pydicom that pynetdicom does not list.

    These are retired and trial ones, which archives still hold, and those of DICONDE and
    DICOS.
    """
    return {
        uid
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name and "Commitment" not in name
        if not _has_service(uid)
    }


def _has_service(sop_class_uid: str) -> bool:
    return uid_to_service_class(sop_class_uid) is not ServiceClass


STORAGE_SOP_CLASSES: frozenset[str] = frozenset(
    {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
    | _unserved_storage()
) - {_MEDIA_DIRECTORY}

# Retired transfer syntaxes that are not encodings of PS3.5: MIME, XML, Papyrus.
_OTHER_ENCODINGS = {
    "1.2.840.10008.1.2.6.1",
    "1.2.840.10008.1.2.6.2",
    "1.2.840.10008.1.20",
}

# Data Sets are stored as received, so that every encoding is supported, also the retired
# ones of old archives.
TRANSFER_SYNTAXES: frozenset[str] = frozenset(ALL_TRANSFER_SYNTAXES) | {
    uid
    for uid, (_, kind, *_rest) in UID_dictionary.items()
    if kind == "Transfer Syntax" and uid not in _OTHER_ENCODINGS
}

# For storage commitment, whose Data Sets the listener reads.
_PLAIN_SYNTAXES = ("1.2.840.10008.1.2.1", IMPLICIT_LITTLE, EXPLICIT_BIG)


def is_storage(sop_class_uid: str, accept_private: bool) -> bool:
    """Whether instances of a SOP Class are accepted.

    Parameters
    ----------
    accept_private
        Accept also UIDs that pydicom does not know: private and future SOP Classes.
    """
    if sop_class_uid in STORAGE_SOP_CLASSES:
        return True
    is_known = sop_class_uid in UID_dictionary or _has_service(sop_class_uid)
    return accept_private and not is_known


def contexts_for(
    requested: Iterable[PresentationContext], accept_private: bool
) -> list[PresentationContext]:
    """Return the supported contexts for the requested ones.

    Their transfer syntaxes have the order of the request: pynetdicom accepts the first, so
    that the sender need not convert its instances.
    """
    syntaxes: dict[str, dict[str, None]] = {}
    services = [build_context(VERIFICATION)]
    for context in requested:
        uid = str(context.abstract_syntax)
        if uid == PUSH_MODEL and _commitment() not in services:
            services.append(_commitment())
        elif is_storage(uid, accept_private):
            supported = [t for t in context.transfer_syntax if t in TRANSFER_SYNTAXES]
            syntaxes.setdefault(uid, {}).update(dict.fromkeys(supported))
    contexts = [_context(uid, tuple(own)) for uid, own in syntaxes.items() if own]
    return [*services, *contexts]


@lru_cache(maxsize=1024)
def _context(
    sop_class_uid: str, transfer_syntaxes: tuple[str, ...]
) -> PresentationContext:
    """Build a context once: the negotiation only reads it."""
    return build_context(sop_class_uid, list(transfer_syntaxes))


@cache
def _commitment() -> PresentationContext:
    """Build the context of storage commitment (PS3.4 section J.3).

    Only the role of SCP is supported: we request no commitment, so that no reports are
    expected.
    """
    context = build_context(PUSH_MODEL, list(_PLAIN_SYNTAXES))
    context.scu_role, context.scp_role = True, False
    return context
