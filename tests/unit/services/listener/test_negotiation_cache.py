"""The caches of negotiation."""

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, MaximumLengthNotification
from pynetdicom.presentation import (
    AllStoragePresentationContexts,
    PresentationContext,
    build_context,
)

from services.listener.fast.negotiation_cache import (
    caching,
    decode_request,
    use_encoded_items,
)

_SYNTAXES = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"


def _primitive() -> A_ASSOCIATE:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "CT1", "VERITAG"
    length = MaximumLengthNotification()
    length.maximum_length_received = 16382
    primitive.user_information = [length]
    return primitive


def _request(calling: str) -> bytes:
    primitive = _primitive()
    primitive.calling_ae_title = calling
    contexts = []
    for number, storage in enumerate(AllStoragePresentationContexts[:20]):
        context = build_context(str(storage.abstract_syntax), list(_SYNTAXES))
        context.context_id = 2 * number + 1
        contexts.append(context)
    primitive.presentation_context_definition_list = contexts
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return bytes(pdu.encode())


def test_a_request_is_decoded_once_for_the_same_bytes() -> None:
    """The same bytes give the same object; another AE title gives another one."""
    first, again = decode_request(_request("CT1")), decode_request(_request("CT1"))
    assert again is first
    other = decode_request(_request("CT2"))
    assert other.calling_ae_title.strip() == "CT2"
    assert first.calling_ae_title.strip() == "CT1"
    primitive = first.to_primitive()
    assert len(primitive.presentation_context_definition_list) == 20


def test_an_acceptance_is_encoded_as_pynetdicom_would() -> None:
    """Cached and new items, accepted and rejected, give the bytes of pynetdicom."""
    for _ in range(2):
        primitive = _primitive()
        primitive.result = 0
        results = []
        for number in range(40):
            context = build_context("1.2.3", _SYNTAXES[number % 2])
            context.context_id, context.result = 2 * number + 1, 0 if number % 3 else 3
            results.append(context)
        primitive.presentation_context_definition_results_list = results
        plain, cached = A_ASSOCIATE_AC(primitive), A_ASSOCIATE_AC(primitive)
        use_encoded_items(cached)
        assert cached.encode() == plain.encode()


def test_only_so_many_negotiations_are_kept() -> None:
    """The number of cached negotiations is limited; the oldest are removed."""
    calls: list[str] = []

    def negotiate(requested: list[PresentationContext], _: object) -> str:
        calls.append(str(requested[0].abstract_syntax))
        return calls[-1]

    negotiate_once = caching(negotiate)
    contexts = [[build_context(f"1.2.{number}")] for number in range(100)]
    syntaxes = [str(context.abstract_syntax) for (context,) in contexts]
    results = [negotiate_once(requested, []) for requested in contexts]
    assert results == calls == syntaxes
    assert negotiate_once(contexts[99], []) == syntaxes[99]
    assert negotiate_once(contexts[0], []) == syntaxes[0]
    assert calls == [*syntaxes, syntaxes[0]]


def test_proposed_roles_are_negotiated_each_time() -> None:
    """A negotiation with roles is not cached."""
    calls: list[object] = []
    negotiate_once = caching(lambda *arguments: calls.append(arguments))
    for _ in range(2):
        negotiate_once([], [], {"1.2": (True, False)})
    assert calls == [([], [], {"1.2": (True, False)})] * 2
