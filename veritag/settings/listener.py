"""Reception over DICOM: ports, TLS, allowed peers and limits."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from veritag.peers.tls import ClientCertificates
from veritag.settings.field_types import (
    AETitle,
    AETitles,
    Networks,
    Port,
    Seconds,
    Section,
)


class ListenerSettings(Section):
    """Reception over DICOM: ports, TLS, allowed peers and limits."""

    title: ClassVar[str] = "Listener"

    ae_title: AETitle = Field("VERITAG", description="AE title of the Storage SCP.")
    dicom_host: str = Field(
        "0.0.0.0",  # noqa: S104 - scanners reach us over the hospital's network
        description="Address the Storage SCP binds to.",
    )
    dicom_port: Port = Field(11112, description="TCP port of the Storage SCP.")
    dicom_plain: bool = Field(
        True,
        description="Whether that port is open; 0: DICOM TLS only.",
    )
    dicom_tls_port: Port | None = Field(
        None,
        description="TCP port of the Storage SCP for DICOM TLS (registered: 2762); "
        "default: no TLS.",
    )
    dicom_tls_certificate: Path | None = Field(
        None,
        description="PEM file of the certificate, followed by intermediate ones. It and the "
        "next three files are read again when they change.",
    )
    dicom_tls_key: Path | None = Field(
        None, description="PEM file of its key; default: in the certificate's file."
    )
    dicom_tls_key_password_file: Path | None = Field(
        None, description="File whose first line decrypts the key."
    )
    dicom_tls_ca: Path | None = Field(
        None,
        description="PEM file of the authorities that may sign client certificates.",
    )
    dicom_tls_client_certificates: ClientCertificates = Field(
        "required",
        description="Whether a client must show a certificate: required, optional (if it "
        "shows one, it must be valid) or none.",
    )
    allowed_hosts: Networks = Field(
        (),
        description="IP addresses and networks (such as 10.1.2.0/24) that may connect to "
        "the Storage SCP; empty: all.",
    )
    check_called_ae_title: bool = Field(
        False, description="Refuse associations whose Called AE Title is not AE_TITLE."
    )
    calling_ae_titles: AETitles = Field(
        (), description="Calling AE titles that may associate; empty: all."
    )
    max_associations: int = Field(
        32,
        ge=1,
        le=1000,
        description="Associations served at a time; more are rejected.",
    )
    max_associations_per_host: int = Field(
        0,
        ge=0,
        le=1000,
        description="Associations served at a time for one IP address; 0: no limit but "
        "the one above.",
    )
    max_pdu_bytes: int = Field(
        131_072,
        ge=4096,
        le=1 << 24,
        description="Maximum Length of PDUs that the SCP announces, in bytes.",
    )
    reception: Literal["fast", "stock"] = Field(
        "fast",
        description="How C-STORE data is received: fast (from the network straight to "
        "disk) or stock (by pynetdicom's own message handling).",
    )
    listener_processes: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that accept associations on the same port (SO_REUSEPORT); "
        "the limits on associations apply to each.",
    )
    accept_private_sop_classes: bool = Field(
        False, description="Also accept private and unknown storage SOP classes."
    )
    network_timeout_seconds: Seconds = Field(
        60.0, description="Silence after which an association is aborted."
    )
    stop_grace_seconds: Seconds = Field(
        20.0,
        description="Time after SIGTERM to finish receptions and inspections.",
    )
    disk_reserve_mb: int = Field(
        512, ge=0, description="Free MB below which C-STORE is refused with 0xA700."
    )
