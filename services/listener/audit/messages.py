"""Audit messages (PS3.15 section A.5) in the XML of section A.5.1.

They contain no patient data. Text from the network (AE titles, UIDs) is escaped, so that it
can neither end a line nor add an element.
"""

import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, tostring

from veritag.dicom.printable import escape_unprintable

# ParticipantObjectTypeCode and -Role (PS3.15 section A.5.1.2.2).
_SYSTEM_OBJECT, _REPORT, _SECURITY_RESOURCE = "2", "3", "13"
_IP_ADDRESS = "2"
_APPLICATION_SERVER = "4"
_MAX_TEXT = 256


@dataclass(frozen=True, slots=True)
class Code:
    """A code of PS3.16 annex D."""

    value: str
    meaning: str


# PS3.16 context groups 400 (events), 401 and 403 (their types), 402 (roles).
APPLICATION_ACTIVITY = Code("110100", "Application Activity")
INSTANCES_TRANSFERRED = Code("110104", "DICOM Instances Transferred")
SECURITY_ALERT = Code("110113", "Security Alert")
APPLICATION_START = Code("110120", "Application Start")
APPLICATION_STOP = Code("110121", "Application Stop")
NODE_AUTHENTICATION = Code("110126", "Node Authentication")
APPLICATION = Code("110150", "Application")
DESTINATION = Code("110152", "Destination Role ID")
SOURCE = Code("110153", "Source Role ID")
_STUDY_INSTANCE_UID = Code("110180", "Study Instance UID")
_NODE_ID = Code("110182", "Node ID")

SUCCESS, MINOR_FAILURE, SERIOUS_FAILURE = 0, 4, 8


@dataclass(frozen=True, slots=True)
class Participant:
    """A process that took part in an event.

    Attributes
    ----------
    address
        Its IP address; None for this process.
    """

    user_id: str
    ae_titles: tuple[str, ...] = ()
    is_requestor: bool = False
    address: str | None = None
    role: Code | None = None


@dataclass(frozen=True, slots=True)
class Study:
    """Numbers of instances of one study, by SOP Class UID."""

    study_instance_uid: str
    instances: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Event:
    """An event to report.

    Attributes
    ----------
    action
        R: read, E: execute (PS3.15 section A.5.1).
    nodes
        IP addresses that a security alert is about.
    """

    event: Code
    action: str
    participants: tuple[Participant, ...]
    type: Code | None = None
    outcome: int = SUCCESS
    description: str = ""
    studies: tuple[Study, ...] = ()
    nodes: tuple[str, ...] = ()
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Origin:
    """The audit source: identifier of this host, and its site."""

    source_id: str
    site: str = ""


def this_process(ae_title: str, role: Code | None = None) -> Participant:
    """Return this process as a participant."""
    return Participant(f"{socket.gethostname()}:{os.getpid()}", (ae_title,), role=role)


def encode(event: Event, origin: Origin) -> bytes:
    """Return the AuditMessage in UTF-8, without line breaks."""
    message = Element("AuditMessage")
    _identify_event(message, event)
    for participant in event.participants:
        _add_participant(message, participant)
    source = {"AuditSourceID": clean(origin.source_id)}
    if origin.site:
        source["AuditEnterpriseSiteID"] = clean(origin.site)
    identification = SubElement(message, "AuditSourceIdentification", source)
    SubElement(identification, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})
    for study in event.studies:
        _add_study(message, study)
    for node in event.nodes:
        _add_object(message, node, _SECURITY_RESOURCE, _NODE_ID)
    encoded: bytes = tostring(message, "utf-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>' + encoded


def _identify_event(message: Element, event: Event) -> None:
    identification = SubElement(
        message,
        "EventIdentification",
        {
            "EventActionCode": event.action,
            "EventDateTime": event.at.isoformat(timespec="milliseconds"),
            "EventOutcomeIndicator": str(event.outcome),
        },
    )
    _add_code(identification, "EventID", event.event)
    if event.type is not None:
        _add_code(identification, "EventTypeCode", event.type)
    if event.description:
        description = SubElement(identification, "EventOutcomeDescription")
        description.text = clean(event.description)


def _add_participant(message: Element, participant: Participant) -> None:
    attributes = {
        "UserID": clean(participant.user_id),
        "UserIsRequestor": str(participant.is_requestor).lower(),
    }
    titles = _joined(participant.ae_titles)
    if titles:
        attributes["AlternativeUserID"] = f"AETITLES={titles}"
    if participant.address is not None:
        attributes["NetworkAccessPointID"] = clean(participant.address)
        attributes["NetworkAccessPointTypeCode"] = _IP_ADDRESS
    element = SubElement(message, "ActiveParticipant", attributes)
    if participant.role is not None:
        _add_code(element, "RoleIDCode", participant.role)


def _joined(ae_titles: Iterable[str]) -> str:
    """Join AE titles; a separator within a title is escaped."""
    return ";".join(clean(t).replace(";", r"\x3b") for t in ae_titles if t)


def _add_study(message: Element, study: Study) -> None:
    uid = study.study_instance_uid
    element = _add_object(message, uid, _REPORT, _STUDY_INSTANCE_UID)
    description = SubElement(element, "ParticipantObjectDescription")
    for sop_class, count in sorted(study.instances.items()):
        attributes = {"UID": clean(sop_class), "NumberOfInstances": str(count)}
        SubElement(description, "SOPClass", attributes)


def _add_object(message: Element, identifier: str, role: str, code: Code) -> Element:
    element = SubElement(
        message,
        "ParticipantObjectIdentification",
        {
            "ParticipantObjectID": clean(identifier),
            "ParticipantObjectTypeCode": _SYSTEM_OBJECT,
            "ParticipantObjectTypeCodeRole": role,
        },
    )
    _add_code(element, "ParticipantObjectIDTypeCode", code)
    # The schema requires a name; the identifier is the only one.
    SubElement(element, "ParticipantObjectName").text = clean(identifier)
    return element


def _add_code(parent: Element, tag: str, code: Code) -> None:
    attributes = {"codeSystemName": "DCM", "originalText": code.meaning}
    SubElement(parent, tag, {"csd-code": code.value, **attributes})


def clean(text: str) -> str:
    """Return text as XML 1.0 and one line of a log can contain it."""
    return escape_unprintable(text[:_MAX_TEXT])
