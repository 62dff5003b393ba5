"""Audit messages, in the form of PS3.15 section A.5.1 for any input."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.listener.audit.messages import (
    APPLICATION_ACTIVITY,
    APPLICATION_START,
    DESTINATION,
    INSTANCES_TRANSFERRED,
    MINOR_FAILURE,
    NODE_AUTHENTICATION,
    SECURITY_ALERT,
    SERIOUS_FAILURE,
    SOURCE,
    Event,
    Origin,
    Participant,
    Study,
    encode,
    this_process,
)
from services.listener.audit.syslog import syslog_message

ORIGIN = Origin("listener-1", "Hospital")

# What the RELAX NG schema of PS3.15 section A.5.1 allows for what we use of it: required
# and optional attributes, and the children in their order with their numbers.
Rule = tuple[set[str], set[str], list[tuple[str, int, int]]]
_CODE: Rule = ({"csd-code", "codeSystemName", "originalText"}, {"displayName"}, [])
_MANY = 10_000
SCHEMA: dict[str, Rule] = {
    "AuditMessage": (
        set(),
        set(),
        [
            ("EventIdentification", 1, 1),
            ("ActiveParticipant", 1, _MANY),
            ("AuditSourceIdentification", 1, 1),
            ("ParticipantObjectIdentification", 0, _MANY),
        ],
    ),
    "EventIdentification": (
        {"EventDateTime", "EventOutcomeIndicator"},
        {"EventActionCode"},
        [
            ("EventID", 1, 1),
            ("EventTypeCode", 0, _MANY),
            ("EventOutcomeDescription", 0, 1),
        ],
    ),
    "EventID": _CODE,
    "EventTypeCode": _CODE,
    "RoleIDCode": _CODE,
    "ParticipantObjectIDTypeCode": _CODE,
    "EventOutcomeDescription": (set(), set(), []),
    "ActiveParticipant": (
        {"UserID", "UserIsRequestor"},
        {
            "AlternativeUserID",
            "UserName",
            "NetworkAccessPointID",
            "NetworkAccessPointTypeCode",
        },
        [("RoleIDCode", 0, _MANY), ("MediaIdentifier", 0, 1)],
    ),
    "AuditSourceIdentification": (
        {"AuditSourceID"},
        {"AuditEnterpriseSiteID"},
        [("AuditSourceTypeCode", 0, _MANY)],
    ),
    "AuditSourceTypeCode": ({"csd-code"}, set(), []),
    "ParticipantObjectIdentification": (
        {"ParticipantObjectID"},
        {
            "ParticipantObjectTypeCode",
            "ParticipantObjectTypeCodeRole",
            "ParticipantObjectDataLifeCycle",
            "ParticipantObjectSensitivity",
        },
        [
            ("ParticipantObjectIDTypeCode", 1, 1),
            ("ParticipantObjectName", 1, 1),
            ("ParticipantObjectDetail", 0, _MANY),
            ("ParticipantObjectDescription", 0, _MANY),
        ],
    ),
    "ParticipantObjectName": (set(), set(), []),
    "ParticipantObjectDescription": (set(), set(), [("SOPClass", 0, _MANY)]),
    "SOPClass": ({"NumberOfInstances"}, {"UID"}, [("Instance", 0, _MANY)]),
}


def parse(message: bytes) -> ET.Element:
    """Parse a message."""
    return ET.fromstring(message)  # noqa: S314


def require_valid(element: ET.Element) -> None:
    """Compare an element and its children with the schema."""
    required, optional, children = SCHEMA[element.tag]
    assert required <= element.attrib.keys() <= required | optional, element.tag
    tags, position = [child.tag for child in element], 0
    for tag, minimum, maximum in children:
        count = 0
        while position < len(tags) and tags[position] == tag:
            position, count = position + 1, count + 1
        assert minimum <= count <= maximum, (element.tag, tag)
    assert position == len(tags), (element.tag, tags[position:])
    for child in element:
        require_valid(child)


def sender(title: str = "CT1") -> Participant:
    """Return a modality as a participant."""
    return Participant(title, (title,), True, "10.0.0.7", SOURCE)


EVENTS = {
    "start": Event(
        APPLICATION_ACTIVITY, "E", (this_process("VERITAG"),), APPLICATION_START
    ),
    "received": Event(
        INSTANCES_TRANSFERRED,
        "R",
        (sender(), this_process("VERITAG", DESTINATION)),
        studies=(Study("1.2.3", {"1.2.840.10008.5.1.4.1.1.2": 300, "1.2.9": 1}),),
    ),
    "refused": Event(
        INSTANCES_TRANSFERRED,
        "R",
        (sender(), this_process("VERITAG", DESTINATION)),
        outcome=MINOR_FAILURE,
        description="instances refused: mismatch=2",
    ),
    "alert": Event(
        SECURITY_ALERT,
        "E",
        (this_process("VERITAG"), Participant("10.0.0.9", (), True, "10.0.0.9")),
        NODE_AUTHENTICATION,
        SERIOUS_FAILURE,
        "connection refused: tls_certificate",
        nodes=("10.0.0.9",),
    ),
}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_each_message_keeps_to_the_schema(event: Event) -> None:
    """Elements, their order, numbers and attributes are those of the standard."""
    require_valid(parse(encode(event, ORIGIN)))


def test_a_transfer_names_study_classes_and_numbers() -> None:
    """A transfer has sender, receiver, study, and numbers by SOP Class."""
    message = parse(encode(EVENTS["received"], ORIGIN))
    event = message.find("EventIdentification/EventID")
    assert event is not None
    assert event.get("csd-code") == "110104"
    roles = [r.get("csd-code") for r in message.iter("RoleIDCode")]
    assert roles == ["110153", "110152"]
    source = message.find("ActiveParticipant")
    assert source is not None
    assert source.get("AlternativeUserID") == "AETITLES=CT1"
    assert source.get("NetworkAccessPointID") == "10.0.0.7"
    study = message.find("ParticipantObjectIdentification")
    assert study is not None
    assert study.get("ParticipantObjectID") == "1.2.3"
    counts = {
        c.get("UID"): c.get("NumberOfInstances") for c in message.iter("SOPClass")
    }
    assert counts == {"1.2.840.10008.5.1.4.1.1.2": "300", "1.2.9": "1"}


@given(st.text(max_size=40), st.text(max_size=80))
def test_nothing_from_the_network_breaks_out(title: str, text: str) -> None:
    """Any AE title and text give one line of valid XML with the same structure."""
    event = Event(
        SECURITY_ALERT, "E", (sender(title),), description=text, nodes=(title,)
    )
    line = syslog_message(event, Origin(text or "x"))
    assert b"\n" not in line
    assert b"\r" not in line
    message = parse(line.partition(b"\xef\xbb\xbf")[2])
    require_valid(message)
    assert len(message) == 4


def test_a_separator_in_an_ae_title_makes_no_second_one() -> None:
    """The AE title `A;B` stays one title."""
    message = parse(encode(Event(SECURITY_ALERT, "E", (sender("A;B"),)), ORIGIN))
    participant = message.find("ActiveParticipant")
    assert participant is not None
    assert participant.get("AlternativeUserID") == r"AETITLES=A\x3bB"


def test_syslog_says_how_grave_it_is() -> None:
    """Facility 10; notice for success, warning for failure (PS3.15 section A.6)."""
    assert syslog_message(EVENTS["received"], ORIGIN).startswith(b"<85>1 2")
    alert = syslog_message(EVENTS["alert"], ORIGIN)
    assert alert.startswith(b"<84>1 2")
    header = alert.partition(b"\xef\xbb\xbf")[0].split(b" ")
    assert len(header) == 8  # RFC 5424 section 6: six fields, structured data, MSG
    assert header[3:] == [b"veritag", header[4], b"DICOM+RFC3881", b"-", b""]
