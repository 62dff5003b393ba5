"""What is known of an instance from its reception on."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an instance came from.

    Attributes
    ----------
    received_at
        Time-zone aware moment at which the C-STORE was acknowledged.
    association_id
        The server's own identifier of the association, for correlation in logs.
    """

    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    association_id: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """A received instance, safe in the archive.

    Attributes
    ----------
    spool_name
        The server-made name under which it was acknowledged: the idempotency key.
    digest
        BLAKE2b-128 (hex) of transfer syntax and encoded Data Set, the file meta
        information left out, so that the same instance sent twice is the same.
    archive_key
        Where the archive keeps it, made from the digest, never from a received UID.
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
