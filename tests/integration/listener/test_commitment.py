"""Requests of storage commitment at the listener: durable before the response."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian
from pynetdicom import AE, build_role
from pynetdicom.association import Association

from services.listener.commitment import requests
from services.listener.commitment.references import (
    NotUnderstood,
    TooManyReferences,
    read_references,
)
from tests.integration.listener.conftest import Listening
from tests.integration.listener.wire import CT_IMAGE_STORAGE, Peer, data_set, element
from veritag.dicom.elements import EXPLICIT_BIG, IMPLICIT_LITTLE
from veritag.peers.association import leave_answers_to_requests
from veritag.storage.commitment_folder import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentFolder,
)
from veritag.storage.spool import sync_folder

PEERS = ("SCANNER1@127.0.0.1:104",)


@pytest.fixture(params=["fast", "stock"])
def hospital(
    request: pytest.FixtureRequest, listen: Callable[..., Listening]
) -> Listening:
    """A listener of each reception that has an address for SCANNER1."""
    return listen(reception=request.param, peers=PEERS)


@contextmanager
def scanner(
    listening: Listening, title: str = "SCANNER1", **negotiation: Any
) -> Iterator[Association]:
    """Associate like a modality that requests storage commitment."""
    ae = AE(ae_title=title)
    ae.add_requested_context(PUSH_MODEL, negotiation.pop("syntaxes", None))
    assoc = ae.associate("127.0.0.1", listening.port, **negotiation)
    assert assoc.is_established
    leave_answers_to_requests(assoc)
    try:
        yield assoc
    finally:
        assoc.release()


def asking(*uids: str, transaction: str = "1.2.3.99") -> Dataset:
    """Return Action Information about CT images."""
    ds = Dataset()
    ds.TransactionUID = transaction
    step = Dataset()  # PS3.4 table J.3-1 allows it; its UIDs are none of the images'
    step.ReferencedSOPClassUID, step.ReferencedSOPInstanceUID = "1.2.840.1", "1.2.7"
    ds.ReferencedPerformedProcedureStepSequence = [step]
    ds.ReferencedSOPSequence = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID = CT_IMAGE_STORAGE
        item.ReferencedSOPInstanceUID = uid
        ds.ReferencedSOPSequence.append(item)
    return ds


def ask(assoc: Association, information: Dataset | None, **changes: Any) -> Dataset:
    """Send an N-ACTION; return the status."""
    values = {
        "action_type": 1,
        "class_uid": PUSH_MODEL,
        "instance_uid": PUSH_MODEL_INSTANCE,
        **changes,
    }
    status, _ = assoc.send_n_action(information, **values)
    return status


def kept(listening: Listening) -> list[dict[str, Any]]:
    """Return the requests in the spool."""
    folder = listening.settings.spool_dir / "commitments"
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    return [json.loads(path.read_text()) for path in files]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, None])
def test_a_request_is_on_disk_when_it_is_answered(
    hospital: Listening, syntax: str | None
) -> None:
    """At 0x0000 the references and the requestor are in the spool."""
    with scanner(hospital, syntaxes=syntax) as assoc:
        assert ask(assoc, asking("1.2.3.1", "1.2.3.2")).Status == 0x0000
        (request,) = kept(hospital)
    assert request["transaction_uid"] == "1.2.3.99"
    assert request["calling_ae_title"] == "SCANNER1"
    assert [r["sop_instance_uid"] for r in request["references"]] == [
        "1.2.3.1",
        "1.2.3.2",
    ]
    assert list((hospital.settings.spool_dir / "incoming").iterdir()) == []


def test_the_roles_of_a_requestor_are_agreed(hospital: Listening) -> None:
    """A proposed SCU role is accepted, a proposed SCP role is not."""
    role = build_role(PUSH_MODEL, scu_role=True, scp_role=True)
    with scanner(hospital, ext_neg=[role]) as assoc:
        (context,) = assoc.accepted_contexts
        assert context.as_scu
        assert not context.as_scp
        assert ask(assoc, asking("1.2.3.1")).Status == 0x0000


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"action_type": 2}, 0x0123),
        ({"instance_uid": "1.2.3"}, 0x0112),
        ({"about": []}, 0x0115),
        ({"about": ["../../etc/passwd"]}, 0x0115),
        ({"about": None}, 0x0115),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_with_the_reason(
    hospital: Listening, changes: dict[str, Any], status: int
) -> None:
    """The status tells the problem, and only the valid request that follows is stored."""
    uids = changes.get("about", ["1.2.3.1"])
    others = {key: value for key, value in changes.items() if key != "about"}
    with scanner(hospital) as assoc:
        answer = ask(assoc, None if uids is None else asking(*uids), **others)
        assert ask(assoc, asking("1.2.3.1")).Status == 0x0000
    assert answer.Status == status
    assert answer.ErrorComment
    assert len(kept(hospital)) == 1


def test_a_requestor_without_an_address_is_refused(hospital: Listening) -> None:
    """A request without an address for its report is refused."""
    with scanner(hospital, title="STRANGER") as assoc:
        answer = ask(assoc, asking("1.2.3.1"))
    assert answer.Status == 0x0124
    assert kept(hospital) == []


def test_a_request_that_is_too_large_is_refused(
    hospital: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many references, or too many bytes for the memory, are refused."""
    monkeypatch.setattr(requests, "MAX_REFERENCES", 50)
    information = asking(*(f"1.2.3.{n}" for n in range(51)))
    huge = asking("1.2.3.1")
    huge.add_new(0x0009FFFF, "OB", bytes(6 << 20))
    with scanner(hospital) as assoc:
        assert ask(assoc, information).Status == 0x0213
        assert ask(assoc, huge).Status == 0x0213
        del information.ReferencedSOPSequence[0]
        assert ask(assoc, information).Status == 0x0000
    assert [len(r["references"]) for r in kept(hospital)] == [50]
    assert list((hospital.settings.spool_dir / "incoming").iterdir()) == []


def test_a_full_disk_refuses_and_is_told(listen: Callable[..., Listening]) -> None:
    """Below the reserve the status is resource limitation."""
    with scanner(listen(peers=PEERS, disk_reserve_mb=1 << 40)) as assoc:
        assert ask(assoc, asking("1.2.3.1")).Status == 0x0213


def test_nothing_is_stored_over_the_context_of_commitment(hospital: Listening) -> None:
    """A C-STORE with the Push Model as its SOP Class is refused."""
    with Peer(hospital.port).associate((PUSH_MODEL, [IMPLICIT_LITTLE])) as peer:
        answer = peer.store(data_set(PUSH_MODEL, "1.2.3"), PUSH_MODEL, "1.2.3")
    assert answer.status == 0x0122
    assert hospital.received() == []


UNDEFINED = b"\xff" * 4
OPEN_ITEM = b"\xfe\xff\x00\xe0" + UNDEFINED
OPEN_SEQUENCE = b"\x08\x00\x99\x11" + UNDEFINED
NEST = b"\x08\x00\x11\x11" + UNDEFINED + OPEN_ITEM


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\x08\x00",
        NEST,
        NEST * 200_000,
        element(0x00081195, b"1.2.3"),
        element(0x00081195, b"1" * 70),
        element(0x00081199, element(0xFFFEE000, element(0x00081150, b"1.2"))),
        element(0x00081195, b"1.2") + OPEN_SEQUENCE,
        element(0x00081195, b"1.2") + b"\x08\x00\x99\x11\xff\xff\xff\x7f",
    ],
    ids=range(9),
)
def test_damaged_requests_end_in_words(encoded: bytes) -> None:
    """Truncated, endlessly nested and incomplete Data Sets raise NotUnderstood."""
    with pytest.raises(NotUnderstood):
        read_references(encoded, IMPLICIT_LITTLE, 10)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    encoded=st.binary(max_size=200)
    | st.lists(
        st.sampled_from(
            [
                element(0x00081195, b"1.2.3"),
                OPEN_SEQUENCE,
                element(0xFFFEE000, b""),
                OPEN_ITEM,
                element(0x00081150, b"1.2"),
                element(0x00081155, b"1.2.3"),
                element(0xFFFEE00D, b""),
                element(0xFFFEE0DD, b""),
                b"\x08\x00",
            ]
        ),
        max_size=30,
    ).map(b"".join),
    syntax=st.sampled_from([IMPLICIT_LITTLE, "1.2.840.10008.1.2.1", EXPLICIT_BIG]),
)
def test_whatever_comes_is_read_or_refused(encoded: bytes, syntax: str) -> None:
    """Any bytes give references or a refusal."""
    try:
        transaction, references = read_references(encoded, syntax, 5)
    except (NotUnderstood, TooManyReferences):
        return
    assert transaction
    assert 1 <= len(references) <= 5


def test_requests_of_undefined_length_are_read() -> None:
    """Sequence and items may end with delimiters (PS3.5 section 7.5)."""
    close_item = element(0xFFFEE00D, b"")
    item = element(0x00081150, b"1.2") + element(0x00081155, b"1.9")
    encoded = (
        element(0x00081195, b"1.2.3")
        + OPEN_SEQUENCE
        + (OPEN_ITEM + item + close_item) * 2
        + element(0xFFFEE0DD, b"")
        + element(0x00880130, b"M")
    )
    transaction, references = read_references(encoded, IMPLICIT_LITTLE, 10)
    assert transaction == "1.2.3"
    assert [(r.sop_class_uid, r.sop_instance_uid) for r in references] == [
        ("1.2", "1.9")
    ] * 2


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    """A file that is not a request delays no other one."""
    folder = CommitmentFolder(tmp_path)
    folder.prepare()
    (folder.root / "1.json").write_text('{"references": 7}')
    ((name, _error),) = folder.requests()
    folder.set_aside(name)
    assert folder.names() == []
    assert (folder.root / "1.json.damaged").is_file()


def test_a_request_and_its_folder_are_durable_before_the_answer(
    listen: Callable[..., Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    """File, its folder and the spool folder are synced before the response."""
    hospital = listen(peers=PEERS)
    synced: list[str] = []
    fsync = os.fsync

    def note_file(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").resolve().suffix)
        fsync(descriptor)

    def note_folder(folder: Path) -> None:
        synced.append(folder.name)
        sync_folder(folder)

    monkeypatch.setattr(os, "fsync", note_file)
    monkeypatch.setattr("veritag.storage.commitment_folder.sync_folder", note_folder)
    with scanner(hospital) as assoc:
        assert ask(assoc, asking("1.2.3.1")).Status == 0x0000
        folders = [name for name in synced if name]
    assert folders == ["spool", ".json", "commitments"]
