"""C-STORE-RQ and C-STORE-RSP, compared with those of pynetdicom."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, config
from pynetdicom.dsutils import decode, encode

from services.listener.fast.store_messages import encode_response, read_request
from services.listener.store_rules import StoreRequest

CT = "1.2.840.10008.5.1.4.1.1.2"
_UIDS = st.lists(st.integers(0, 10**6), min_size=2, max_size=8).map(
    lambda parts: ".".join(map(str, parts))
)


@pytest.fixture(autouse=True)
def _any_uid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pydicom write invalid UIDs without a warning."""
    monkeypatch.setattr(config.settings, "_writing_validation_mode", config.IGNORE)
    monkeypatch.setattr(config.settings, "_reading_validation_mode", config.IGNORE)


def _command(**changes: object) -> bytes:
    command = Dataset()
    command.AffectedSOPClassUID, command.CommandField = CT, 0x0001
    command.MessageID, command.Priority = 7, 0
    command.CommandDataSetType, command.AffectedSOPInstanceUID = 0x0001, "1.2.3"
    for keyword, value in changes.items():
        setattr(command, keyword, value)
    encoded = encode(command, True, True)
    assert encoded is not None
    return encoded


@given(_UIDS, _UIDS, st.integers(0, 0xFFFF))
def test_a_request_says_what_pynetdicom_wrote(
    sop_class: str, sop_instance: str, message_id: int
) -> None:
    """UIDs have no padding, and the Message ID is the same."""
    command = _command(
        AffectedSOPClassUID=sop_class,
        AffectedSOPInstanceUID=sop_instance,
        MessageID=message_id,
    )
    assert read_request(command) == StoreRequest(message_id, sop_class, sop_instance)


def test_other_commands_go_the_long_way() -> None:
    """C-ECHO, C-STORE without Data Set, and a response give None."""
    assert read_request(_command(CommandField=0x0030)) is None
    assert read_request(_command(CommandDataSetType=0x0101)) is None
    assert read_request(_command(CommandField=0x8001)) is None


def test_a_uid_that_is_none_counts_as_absent() -> None:
    """An invalid UID, such as a path, counts as absent."""
    request = read_request(_command(AffectedSOPInstanceUID="../../etc"))
    assert request == StoreRequest(7, CT, "")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_not(command: bytes) -> None:
    """Any bytes give a request or None."""
    request = read_request(command)
    assert request is None or 0 <= request.message_id <= 0xFFFF


@given(st.binary(max_size=40), st.integers(0, 80), st.integers(0, 8))
def test_a_damaged_request_is_a_request_or_not(
    junk: bytes, place: int, removed: int
) -> None:
    """A request with changed, added or removed bytes gives a request or None."""
    command = _command()
    read_request(command[:place] + junk + command[place + removed :])


@given(_UIDS, st.sampled_from([0x0000, 0xA700, 0xA900]), st.text("abc ", max_size=64))
def test_pynetdicom_understands_the_response(
    uid: str, status: int, comment: str
) -> None:
    """All elements of the response are decoded by pynetdicom."""
    encoded = encode_response(StoreRequest(9, CT, uid), status, comment)
    answer = decode(BytesIO(encoded), True, True)
    assert answer.CommandField == 0x8001
    assert answer.MessageIDBeingRespondedTo == 9
    assert answer.Status == status
    assert answer.AffectedSOPClassUID == CT
    assert answer.AffectedSOPInstanceUID == uid
    assert answer.get("ErrorComment", "").strip() == comment.strip()
    assert answer.CommandGroupLength == len(encoded) - 12
