"""The tables of the records, in SQLAlchemy Core.

Alembic's migrations create them; a test compares both on SQLite and PostgreSQL.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from veritag.decisions import Decision
from veritag.findings import FindingCode, Severity, VerdictStatus
from veritag.records.column_types import Floats, Id, Moment, word
from veritag.records.states import (
    CommitmentState,
    ForwardState,
    GateOutcome,
    ReceptionKind,
    RunStatus,
    RunTrigger,
    SettleReason,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _reference(name: str, target: str, **options: Any) -> Column[int]:
    return Column(name, Id, ForeignKey(target), **options)


studies = Table(
    "studies",
    metadata,
    Column("id", Id, primary_key=True),
    Column("study_instance_uid", Text, nullable=False, unique=True),
    Column("patient_id", Text),
    Column("accession_number", Text),
    Column("study_date", Text),
    Column("study_description", Text),
    Column("first_received_at", Moment, nullable=False),
    Column("last_received_at", Moment, nullable=False, index=True),
)

series = Table(
    "series",
    metadata,
    Column("id", Id, primary_key=True),
    _reference("study_id", "studies.id", nullable=False),
    Column("series_instance_uid", Text, nullable=False, index=True),
    Column("series_number", Text),
    Column("series_description", Text),
    Column("modality", Text),
    Column("body_part_examined", Text),
    Column("manufacturer", Text),
    Column("station_name", Text),
    Column("first_received_at", Moment, nullable=False),
    Column("last_received_at", Moment, nullable=False),
    # Start of the burst that is not settled yet; the cap counts from here.
    Column("opened_at", Moment, nullable=False),
    # NULL while instances still arrive; set again to NULL by a late arrival.
    Column("settled_at", Moment),
    Column("settle_reason", word(SettleReason)),
    UniqueConstraint("study_id", "series_instance_uid"),
    Index("ix_series_settled_at_last_received_at", "settled_at", "last_received_at"),
    Index("ix_series_station_name_manufacturer", "station_name", "manufacturer"),
)

instances = Table(
    "instances",
    metadata,
    Column("id", Id, primary_key=True),
    # NULL where the data set could not be parsed.
    _reference("series_id", "series.id", index=True),
    Column("sop_instance_uid", Text, nullable=False, index=True),
    Column("sop_class_uid", Text, nullable=False),
    Column("transfer_syntax_uid", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("archive_key", String(255), nullable=False),
    Column("size", BigInteger, nullable=False),
    # Whether its SOP Instance UID was also received with other bytes.
    Column("conflict", Boolean, nullable=False, default=False),
    Column("received_at", Moment, nullable=False),
    Column("indexed_at", Moment, nullable=False),
    Column("dispatched_at", Moment),
    Column("claimed_at", Moment),
    Column("attempts", Integer, nullable=False, default=0),
    Column("inspected_at", Moment),
    Column("dead_at", Moment),
    # Set before the archive removes the file, and after.
    Column("removing_at", Moment),
    Column("removed_at", Moment),
    UniqueConstraint("sop_instance_uid", "digest"),
    Index("ix_instances_waiting", "inspected_at", "dead_at", "received_at"),
    Index("ix_instances_removed_at_received_at", "removed_at", "received_at"),
)

# One row per acknowledged C-STORE; the spool name makes indexing idempotent.
receptions = Table(
    "receptions",
    metadata,
    Column("spool_name", String(128), primary_key=True),
    _reference("instance_id", "instances.id", nullable=False, index=True),
    Column("kind", word(ReceptionKind), nullable=False),
    Column("calling_ae_title", String(64), nullable=False),
    Column("called_ae_title", String(64), nullable=False),
    Column("peer_address", String(64), nullable=False),
    Column("association_id", String(64), nullable=False),
    Column("received_at", Moment, nullable=False),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Id, primary_key=True),
    _reference("instance_id", "instances.id", nullable=False, index=True),
    Column("worker", String(128), nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("error", Text),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", Id, primary_key=True),
    _reference("instance_id", "instances.id", nullable=False, unique=True),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
)

bundles = Table(
    "bundles",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("path", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("training", JSON, nullable=False),
    Column("lineage", JSON, nullable=False),
    Column("registered_at", Moment, nullable=False),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", Id, primary_key=True),
    _reference("instance_id", "instances.id", nullable=False),
    Column("bundle_id", String(64), nullable=False),
    Column("status", word(VerdictStatus), nullable=False),
    Column("sop_class_uid", Text, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("cluster", Integer),
    Column("cluster_probability", Float),
    Column("novelty", Float),
    Column("soft_assignment", Floats, nullable=False),
    Column("tag_probability", Floats),
    Column("neighbors", JSON),
    Column("hints", JSON),
    Column("defects", JSON),
    Column("facts", JSON),
    Column("reason", Text),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("instance_id", "bundle_id"),
)

findings = Table(
    "findings",
    metadata,
    Column("id", Id, primary_key=True),
    _reference("series_id", "series.id", nullable=False, index=True),
    Column("bundle_id", String(64), nullable=False),
    Column("code", word(FindingCode, 64), nullable=False),
    Column("severity", word(Severity), nullable=False),
    Column("tag", String(64)),
    Column("observed", Text),
    Column("score", Float, nullable=False),
    Column("expected", JSON, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    # Set when a later settling no longer makes the finding.
    Column("withdrawn_at", Moment),
    # The newest decision, for the worklist; `decisions` has the history.
    Column("decision", word(Decision)),
    Index("ix_findings_open", "withdrawn_at", "decision"),
)

# Opinion of the model on each tag of a series at its last settling, flagged or not.
judgements = Table(
    "judgements",
    metadata,
    Column("id", Id, primary_key=True),
    _reference("series_id", "series.id", nullable=False),
    Column("bundle_id", String(64), nullable=False),
    Column("tag", String(64), nullable=False),
    Column("observed", Text, nullable=False),
    # The most probable concept given the pictures.
    Column("shows", Text),
    Column("probability_wrong", Float),
    Column("score", Float),
    Column("flagged", Boolean, nullable=False),
    # Flagged, but not opened as a finding: better ones fill the review budget.
    Column("withheld", Boolean, nullable=False),
    UniqueConstraint("series_id", "tag"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", Id, primary_key=True),
    _reference("finding_id", "findings.id", nullable=False, index=True),
    Column("decision", word(Decision), nullable=False),
    Column("corrected_value", Text),
    Column("note", Text, nullable=False),
    Column("reviewer", Text, nullable=False),
    Column("decided_at", Moment, nullable=False, index=True),
    Column("shown", JSON, nullable=False),
)

training_runs = Table(
    "training_runs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Column("status", word(RunStatus), nullable=False),
    Column("snapshot_digest", String(64)),
    Column("configuration", JSON, nullable=False),
    Column("bundle_id", String(64)),
    Column("figures", JSON),
    Column("error", Text),
    # Of scheduled runs and runs of `veritag retrain` only.
    Column("trigger", word(RunTrigger)),
    Column("reason", Text),
    # Of a requested run: when the request was last repeated.
    Column("heartbeat_at", Moment),
    Column("champion_id", String(64)),
    Column("gate", JSON),
    Column("outcome", word(GateOutcome)),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", Moment, nullable=False, index=True),
    Column("kind", String(64), nullable=False),
    Column("actor", Text, nullable=False),
    Column("detail", JSON, nullable=False),
)

# Peers that get received instances; one that the settings no longer name is inactive.
destinations = Table(
    "destinations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("active", Boolean, nullable=False),
    Column("added_at", Moment, nullable=False),
    # Instances received since then were queued too when it was added.
    Column("since", Moment),
    Column("sent", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False),
    Column("last_success_at", Moment),
    Column("last_failure_at", Moment),
    Column("last_failure", Text),
)

# One row for each instance and destination.
forwards = Table(
    "forwards",
    metadata,
    Column("id", Id, primary_key=True),
    _reference("destination_id", "destinations.id", nullable=False),
    _reference("instance_id", "instances.id", nullable=False),
    Column("state", word(ForwardState), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("queued_at", Moment, nullable=False),
    # NULL means at once.
    Column("due_at", Moment),
    Column("ended_at", Moment),
    Column("reason", Text),
    UniqueConstraint("instance_id", "destination_id"),
    Index("ix_forwards_destination_id_state_id", "destination_id", "state", "id"),
)

# Requests of storage commitment; the file name makes recording them idempotent.
commitments = Table(
    "commitments",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("transaction_uid", String(64), nullable=False),
    Column("calling_ae_title", String(64), nullable=False),
    Column("called_ae_title", String(64), nullable=False),
    # Pairs of SOP Class UID and SOP Instance UID.
    Column("references", JSON, nullable=False),
    Column("instances", Integer, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("state", word(CommitmentState), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("committed", Integer),
    Column("reason", Text),
    Index("ix_commitments_state_due_at", "state", "due_at"),
)
