"""Audit messages of the listener (PS3.15 A.5)."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from veritag.settings.field_types import Section, SyslogUrl


class AuditSettings(Section):
    """Audit messages of the listener (PS3.15 A.5)."""

    title: ClassVar[str] = "Audit trail"

    audit_syslog: SyslogUrl | None = Field(
        None,
        description="Receiver of audit messages (docs/security.md): udp://, tcp:// or "
        "tls:// with host and port; default: none.",
    )
    audit_tls_ca: Path | None = Field(
        None,
        description="PEM file of the authorities that may sign the certificate of a tls:// "
        "audit repository; default: those of the operating system.",
    )
    audit_tls_certificate: Path | None = Field(
        None, description="PEM file of the client certificate for it, with the key."
    )
    audit_file: Path | None = Field(
        None,
        description="File to which audit messages are appended, with or without syslog; "
        "default: none.",
    )
    audit_source_id: Annotated[str, Field(max_length=255)] = Field(
        "", description="Audit Source ID of the messages; default: the host's name."
    )
    audit_site: Annotated[str, Field(max_length=255)] = Field(
        "", description="Audit Enterprise Site ID of the messages."
    )
