"""What is remembered of one association is right for the next."""

from functools import partial

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, MaximumLengthNotification
from pynetdicom.presentation import AllStoragePresentationContexts, build_context

from services.listener.fast.negotiation_cache import (
    Few,
    decode_request,
    use_known_items,
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
    for number, known in enumerate(AllStoragePresentationContexts[:20]):
        context = build_context(str(known.abstract_syntax), list(_SYNTAXES))
        context.context_id = 2 * number + 1
        contexts.append(context)
    primitive.presentation_context_definition_list = contexts
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return bytes(pdu.encode())


def test_a_request_is_decoded_once_for_the_same_bytes() -> None:
    """The same bytes give the same request; another AE title another one."""
    first, again = decode_request(_request("CT1")), decode_request(_request("CT1"))
    assert again is first
    other = decode_request(_request("CT2"))
    assert other.calling_ae_title.strip() == "CT2"
    assert first.calling_ae_title.strip() == "CT1"
    primitive = first.to_primitive()
    assert len(primitive.presentation_context_definition_list) == 20


def test_an_acceptance_is_encoded_as_pynetdicom_would() -> None:
    """With items known or new, accepted or not, the bytes are the same."""
    for _ in range(2):
        primitive = _primitive()
        primitive.result = 0
        results = []
        for number in range(40):
            context = build_context("1.2.3", _SYNTAXES[number % 2])
            context.context_id, context.result = 2 * number + 1, 0 if number % 3 else 3
            results.append(context)
        primitive.presentation_context_definition_results_list = results
        plain, known = A_ASSOCIATE_AC(primitive), A_ASSOCIATE_AC(primitive)
        use_known_items(known)
        assert known.encode() == plain.encode()


def test_only_so_many_are_kept() -> None:
    """Ever new keys take no more than a fixed number of places, the oldest go."""
    few, made = Few[int](), []

    def make(number: int) -> int:
        made.append(number)
        return number

    for number in range(100):
        assert few.get(number, partial(make, number)) == number
    few.get(99, lambda: make(99))
    few.get(0, lambda: make(0))
    assert made == [*range(100), 0]
