"""Facts about a received instance: its origin, its digest and its UIDs."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Provenance:
    """Origin of an instance.

    Attributes
    ----------
    received_at
        Time of the acknowledgement of the C-STORE, with time zone.
    association_id
        Identifier of the association in the logs, made by the listener.
    """

    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    association_id: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """A received instance in the archive.

    Attributes
    ----------
    spool_name
        Its name in the spool, made by the listener: the idempotency key.
    digest
        BLAKE2b-128 (hex) of transfer syntax and encoded Data Set. The File Meta
        Information is left out: the same instance sent twice has the same digest.
    archive_key
        Its key in the archive, made from the digest and not from received UIDs.
    study_instance_uid, series_instance_uid
        None where the Data Set could not be parsed; `problem` then says why.
    """

    spool_name: str
    digest: str
    archive_key: str
    size: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str | None
    series_instance_uid: str | None
    provenance: Provenance
    problem: str | None = None
