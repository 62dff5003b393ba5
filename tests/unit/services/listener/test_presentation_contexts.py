"""The supported presentation contexts for a request."""

import pytest
from pynetdicom import AllStoragePresentationContexts
from pynetdicom.presentation import build_context

from services.listener.presentation_contexts import (
    TRANSFER_SYNTAXES,
    VERIFICATION,
    contexts_for,
    is_storage,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
RETIRED_NM = "1.2.840.10008.5.1.4.1.1.5"
COMMITMENT = "1.2.840.10008.1.20.1"
MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
FIND = "1.2.840.10008.5.1.4.1.2.1.1"
PRIVATE = "1.3.46.670589.5.0.8"


@pytest.mark.parametrize(
    ("uid", "always", "with_setting"),
    [
        (CT, True, True),
        (RETIRED_NM, True, True),
        (PRIVATE, False, True),
        (COMMITMENT, False, False),
        (MEDIA_DIRECTORY, False, False),
        (FIND, False, False),
        (VERIFICATION, False, False),
    ],
)
def test_what_counts_as_storage(uid: str, always: bool, with_setting: bool) -> None:
    """Storage classes count, unknown ones by setting, other services do not."""
    assert is_storage(uid, accept_private=False) is always
    assert is_storage(uid, accept_private=True) is with_setting


def test_every_storage_class_of_pynetdicom_is_storage() -> None:
    """All storage SOP Classes of pynetdicom are supported."""
    for context in AllStoragePresentationContexts:
        assert is_storage(str(context.abstract_syntax), accept_private=False)


def test_verification_is_always_offered() -> None:
    """An association for C-ECHO alone is possible."""
    assert [c.abstract_syntax for c in contexts_for([], False)] == [VERIFICATION]


def test_only_what_is_asked_for_is_offered() -> None:
    """Requested storage classes are supported with their known syntaxes, in order."""
    syntaxes = ["1.2.840.10008.1.2.4.90", "1.2.3.4", "1.2.840.10008.1.2.1"]
    _, offer = contexts_for([build_context(CT, syntaxes), build_context(FIND)], False)
    assert offer.abstract_syntax == CT
    assert offer.transfer_syntax == [syntaxes[0], syntaxes[2]]


def test_contexts_of_one_class_are_put_together() -> None:
    """A class with a context for each transfer syntax is supported with all of them."""
    requested = [build_context(CT, syntax) for syntax in sorted(TRANSFER_SYNTAXES)]
    _, offer = contexts_for(requested, False)
    assert set(offer.transfer_syntax) == TRANSFER_SYNTAXES
