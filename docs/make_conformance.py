"""Generator of `docs/conformance.md` from its template and the code; a test compares them.

python docs/make_conformance.py
"""  # noqa: INP001 - a script beside the page that it writes

import re
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pydicom
from pydicom._uid_dict import UID_dictionary
from pynetdicom import AE, sop_class
from pynetdicom._globals import DEFAULT_TRANSFER_SYNTAXES
from pynetdicom.presentation import build_context

from services.delivery import (
    commitment_check,
    commitment_reports,
    event_report,
    forwarder,
)
from services.listener import acceptor, handlers, presentation_contexts
from services.listener import store_status as statuses
from services.listener.commitment import requests
from services.listener.connections import associate_request, pending_connections
from services.listener.connections.admission import REASONS
from services.listener.store_status import Status
from veritag import __version__
from veritag.dicom import part10
from veritag.peers import association, storage_scu, tls
from veritag.settings import Settings
from veritag.storage.commitment_folder import PUSH_MODEL

PAGE = Path(__file__).with_name("conformance.md")
TEMPLATE = Path(__file__).with_name("conformance.template")

SETTINGS = Settings.model_fields

# Statuses of C-STORE by reason: service status, meaning, action of the sender.
_STORAGE = {
    "": (
        "Success",
        "The instance is on disk, fsynced, under its final name. It survives a power cut.",
        "none",
    ),
    "out_of_resources": (
        "Refused: out of resources",
        "Less than `VERITAG_DISK_RESERVE_MB` would remain free, or the disk failed.",
        "send again later",
    ),
    "mismatch": (
        "Error: Data Set does not match SOP Class",
        "SOP Class UID or SOP Instance UID of command and Data Set differ.",
        "correct the object",
    ),
    "not_understood": (
        "Error: cannot understand",
        (
            "The beginning of the Data Set cannot be read, or it has no valid SOP Class or "
            "SOP Instance UID, or the command no valid SOP Instance UID."
        ),
        "correct the object",
    ),
    "class_not_supported": (
        "Refused: SOP Class not supported",
        (
            "The command has another SOP Class than its presentation context, or no "
            "valid one."
        ),
        "correct the sender",
    ),
    "not_authorized": (
        "Refused: not authorized",
        "The calling AE title is not on the list.",
        "ask the administrator",
    ),
}
# Statuses of N-ACTION by their names in the code.
_ACTION = {
    "_NO_SUCH_INSTANCE": "no such SOP Instance: not the well-known one",
    "_INVALID_ARGUMENT": "invalid argument value: Action Information is missing or cannot "
    "be read, or lacks a Transaction UID or references",
    "_NO_SUCH_CLASS": "no such SOP Class: not the Push Model",
    "_NO_SUCH_ACTION": "no such action: Action Type ID is not 1",
    "_NOT_AUTHORIZED": "not authorized: the calling AE title is not in `VERITAG_PEERS`",
    "_RESOURCE_LIMITATION": "resource limitation: the disk's reserve is reached, too many "
    "requests are queued, or one has too many references",
}
_FAILURES = {
    "NO_SUCH_INSTANCE": "no such object instance: neither in the spool nor in the archive",
    "CLASS_CONFLICT": "class / instance conflict: it is stored with another SOP Class",
}
_TEXTS = {
    "calling_ae_title": "`VERITAG_CALLING_AE_TITLES` is set and does not contain it",
    "called_ae_title": "`VERITAG_CHECK_CALLED_AE_TITLE=1` and another AE title is called",
    "too_many_associations": "`VERITAG_MAX_ASSOCIATIONS` are open; try again later",
    "too_many_of_host": "`VERITAG_MAX_ASSOCIATIONS_PER_HOST` of this address are open",
    "host": "`VERITAG_ALLOWED_HOSTS` is set and does not contain the address",
    "too_many_connections": "too many pending connections; the oldest of the busiest host is closed",
    "request_timeout": "no complete A-ASSOCIATE-RQ within ARTIM",
    "protocol": "no A-ASSOCIATE-RQ, or one beyond the limits above",
    "tls_certificate": "no client certificate, or one that is not valid",
    "tls_protocol": "no TLS, or no version or cipher suite in common",
    "tls_timeout": "no complete TLS handshake within ARTIM",
    "other": "another rejection, such as for lack of threads",
}
_REJECTED = {"calling_ae_title", "called_ae_title"}
_TRANSIENT = {"too_many_associations", "too_many_of_host", "other"}
_ANSWERS = {
    "protocol": "A-ABORT",
    "tls_certificate": "TLS alert",
    "tls_protocol": "TLS alert",
}
# PS3.8 table 9-21.
_RESULTS = {1: "rejected, permanent", 2: "rejected, transient"}
_DIAGNOSTICS = {
    (1, 3): "service-user: calling AE title not recognized",
    (1, 7): "service-user: called AE title not recognized",
    (3, 2): "service-provider (presentation): local limit exceeded",
}
_PARAMETERS = """ae_title dicom_host dicom_port dicom_plain dicom_tls_port
dicom_tls_client_certificates allowed_hosts check_called_ae_title calling_ae_titles
max_associations max_associations_per_host max_pdu_bytes listener_processes reception
accept_private_sop_classes network_timeout_seconds stop_grace_seconds disk_reserve_mb peers
forward_attempts commitment_hours retain_days audit_syslog audit_file""".split()


def _rows(rows: Iterable[Iterable[object]]) -> str:
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def _default(name: str) -> str:
    value: Any = SETTINGS[name].default
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return f"{int(value)}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _range(name: str) -> str:
    bounds = {type(m).__name__: m for m in SETTINGS[name].metadata}
    return f"{bounds['Ge'].ge} to {bounds['Le'].le}"


def _name(uid: str) -> str:
    if uid in UID_dictionary:
        return UID_dictionary[uid][0]
    keyword = next(k for k, v in vars(sop_class).items() if v == uid)
    return re.sub(r"(?<=[a-z])(?=[A-Z0-9])", " ", keyword)


def _retired(uid: str) -> str:
    return "*r*" if uid in UID_dictionary and UID_dictionary[uid][3] else ""


def _uids(uids: Iterable[str]) -> str:
    return _rows(
        (_name(uid), uid, _retired(uid)) for uid in sorted(uids, key=_components)
    )


def _components(uid: str) -> list[int]:
    return [int(part) for part in uid.split(".")]


def _names(uids: Iterable[object]) -> str:
    return ", ".join(_name(str(uid)) for uid in uids)


def _storage_statuses() -> str:
    values = [s for s in vars(statuses).values() if isinstance(s, Status)]
    return _rows(
        (service, f"0x{s.code:04X}", meaning, advice)
        for s in values
        for service, meaning, advice in [_STORAGE[s.reason]]
    )


def _codes(module: object, texts: dict[str, str]) -> str:
    return _rows((f"0x{vars(module)[name]:04X}", text) for name, text in texts.items())


def _limit_exceeded() -> tuple[int, int, int]:
    result, source, reason = struct.unpack(">7xBBB", associate_request.LIMIT_EXCEEDED)
    return result, source, reason


def _rejections() -> str:
    return _rows(
        (_rejection(source, reason), _TEXTS[label])
        for (source, reason), label in handlers._REJECTIONS.items()  # noqa: SLF001
    )


def _rejection(source: int, reason: int) -> str:
    """Return result, source and reason with their meaning (PS3.8 table 9-21)."""
    result = 2 if (source, reason) == _limit_exceeded()[1:] else 1
    meaning = f"{_RESULTS[result]}; {_DIAGNOSTICS[source, reason]}"
    return f"{result}, {source}, {reason}: {meaning}"


def _refusal_reasons() -> str:
    return _rows(
        (f"`{reason}`", _TEXTS[reason], _answer(reason)) for reason in sorted(REASONS)
    )


def _answer(reason: str) -> str:
    if reason in _REJECTED or reason in _TRANSIENT:
        return "A-ASSOCIATE-RJ"
    return _ANSWERS.get(reason, "the connection is closed")


def _parameters() -> str:
    return _rows(
        (
            f"`VERITAG_{name.upper()}`",
            _default(name),
            (SETTINGS[name].description or "").replace("|", r"\|"),
        )
        for name in _PARAMETERS
    )


def _contents(template: str) -> str:
    headings = re.findall(r"^(#{2,4}) (.+)$", template, re.MULTILINE)
    return "\n".join(
        f"{'  ' * (len(level) - 2)}- [{title}](#{_anchor(title)})"
        for level, title in headings
        if title != "Contents"
    )


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def _values() -> dict[str, object]:
    """Return the value of each name in the template."""
    return {
        **{name: _default(name) for name in _PARAMETERS},
        **_identity(),
        **_associations(),
        **_uid_tables(),
        **_delivery(),
        "success": f"0x{statuses.SUCCESS.code:04X}",
        "storage_statuses": _storage_statuses(),
        "action_statuses": _codes(requests, _ACTION),
        "failure_reasons": _codes(commitment_check, _FAILURES),
        "max_references": requests.MAX_REFERENCES,
        "parameters": _parameters(),
        "cipher_suites": f"`{tls._CIPHERS}` in the notation of OpenSSL",  # noqa: SLF001
        "client_certificates": _default("dicom_tls_client_certificates"),
    }


def _identity() -> dict[str, object]:
    library = AE()
    return {
        "version": __version__,
        "application_context": "1.2.840.10008.3.1.1.1",
        "implementation_class_uid": part10.IMPLEMENTATION_CLASS_UID,
        "implementation_version_name": part10.IMPLEMENTATION_VERSION_NAME,
        "private_creator": part10.PRIVATE_INFORMATION_CREATOR_UID,
        "library_class_uid": library.implementation_class_uid,
        "library_version_name": library.implementation_version_name,
        "sender_ae_title": association.Receiver("", 0).calling_ae_title,
        "pydicom": pydicom.__version__,
    }


def _associations() -> dict[str, object]:
    return {
        "max_pdu_range": _range("max_pdu_bytes"),
        "max_request_bytes": associate_request.MAX_REQUEST_BYTES,
        "max_contexts": associate_request.MAX_CONTEXTS,
        "max_sub_items": associate_request._MAX_SUB_ITEMS,  # noqa: SLF001
        "max_user_items": associate_request._MAX_USER_ITEMS,  # noqa: SLF001
        "max_pending": pending_connections.MAX_PENDING,
        "artim_seconds": f"{acceptor.ACSE_SECONDS:g}",
        "rejections": _rejections(),
        "refusal_reasons": _refusal_reasons(),
    }


def _uid_tables() -> dict[str, object]:
    verification = build_context(presentation_contexts.VERIFICATION)
    push_model = presentation_contexts._commitment()  # noqa: SLF001
    return {
        "verification": presentation_contexts.VERIFICATION,
        "push_model": PUSH_MODEL,
        "verification_syntaxes": _names(verification.transfer_syntax),
        "commitment_syntaxes": _names(push_model.transfer_syntax),
        "proposed_syntaxes": _names(DEFAULT_TRANSFER_SYNTAXES),
        "storage_count": len(presentation_contexts.STORAGE_SOP_CLASSES),
        "storage_classes": _uids(presentation_contexts.STORAGE_SOP_CLASSES),
        "syntax_count": len(presentation_contexts.TRANSFER_SYNTAXES),
        "transfer_syntaxes": _uids(presentation_contexts.TRANSFER_SYNTAXES),
    }


def _delivery() -> dict[str, object]:
    return {
        "report_pdu": association.DEFAULT_MAX_PDU,
        "send_pdu": storage_scu.MAX_PDU,
        "reports_at_once": commitment_reports._AT_ONCE,  # noqa: SLF001
        "all_safe": event_report._ALL_SAFE,  # noqa: SLF001
        "failures_exist": event_report._FAILURES_EXIST,  # noqa: SLF001
        "first_report_delay": f"{commitment_reports._FIRST_DELAY:g}",  # noqa: SLF001
        "longest_report_delay": f"{commitment_reports._LONGEST_DELAY:g}",  # noqa: SLF001
        "forward_batch": forwarder.BATCH,
        "connect_seconds": f"{association.CONNECT_SECONDS:g}",
        "answer_seconds": f"{storage_scu._ANSWER_SECONDS:g}",  # noqa: SLF001
    }


def conformance_page() -> str:
    """Return the content of the page."""
    template = TEMPLATE.read_text(encoding="utf-8")
    values = {**_values(), "contents": _contents(template)}
    fill: Callable[[re.Match[str]], str] = lambda name: str(values[name[1]])  # noqa: E731
    return re.sub(r"\{\{ (\w+) \}\}", fill, template)


if __name__ == "__main__":
    PAGE.write_text(conformance_page(), encoding="utf-8")
