"""First schema: every table of the records.

Constraints and indexes get their names from the naming convention of the tables in
`schema.py`.
"""

from typing import Any

from alembic import op
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)

revision = "0001_first_schema"
down_revision = None

ID = BigInteger().with_variant(Integer(), "sqlite")
MOMENT = DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    _reception()
    _inspection()
    _findings()
    _training()
    _delivery()
    _audit()


def _id() -> Column[int]:
    return Column("id", ID, primary_key=True)


def _reference(name: str, target: str, **options: Any) -> Column[int]:
    return Column(name, ID, ForeignKey(target), **options)


def _reception() -> None:
    op.create_table(
        "studies",
        _id(),
        Column("study_instance_uid", Text(), nullable=False, unique=True),
        Column("patient_id", Text()),
        Column("accession_number", Text()),
        Column("study_date", Text()),
        Column("study_description", Text()),
        Column("first_received_at", MOMENT, nullable=False),
        Column("last_received_at", MOMENT, nullable=False, index=True),
    )
    op.create_table(
        "series",
        _id(),
        _reference("study_id", "studies.id", nullable=False),
        Column("series_instance_uid", Text(), nullable=False, index=True),
        Column("series_number", Text()),
        Column("series_description", Text()),
        Column("modality", Text()),
        Column("body_part_examined", Text()),
        Column("manufacturer", Text()),
        Column("station_name", Text()),
        Column("first_received_at", MOMENT, nullable=False),
        Column("last_received_at", MOMENT, nullable=False),
        Column("opened_at", MOMENT, nullable=False),
        Column("settled_at", MOMENT),
        Column("settle_reason", String(16)),
        UniqueConstraint("study_id", "series_instance_uid"),
        Index(
            "ix_series_settled_at_last_received_at", "settled_at", "last_received_at"
        ),
        Index("ix_series_station_name_manufacturer", "station_name", "manufacturer"),
    )
    op.create_table(
        "instances",
        _id(),
        _reference("series_id", "series.id", index=True),
        Column("sop_instance_uid", Text(), nullable=False, index=True),
        Column("sop_class_uid", Text(), nullable=False),
        Column("transfer_syntax_uid", Text(), nullable=False),
        Column("digest", String(64), nullable=False),
        Column("archive_key", String(255), nullable=False),
        Column("size", BigInteger(), nullable=False),
        Column("conflict", Boolean(), nullable=False),
        Column("received_at", MOMENT, nullable=False),
        Column("indexed_at", MOMENT, nullable=False),
        Column("dispatched_at", MOMENT),
        Column("claimed_at", MOMENT),
        Column("attempts", Integer(), nullable=False),
        Column("inspected_at", MOMENT),
        Column("dead_at", MOMENT),
        Column("removing_at", MOMENT),
        Column("removed_at", MOMENT),
        UniqueConstraint("sop_instance_uid", "digest"),
        Index("ix_instances_waiting", "inspected_at", "dead_at", "received_at"),
        Index("ix_instances_removed_at_received_at", "removed_at", "received_at"),
    )
    op.create_table(
        "receptions",
        Column("spool_name", String(128), primary_key=True),
        _reference("instance_id", "instances.id", nullable=False, index=True),
        Column("kind", String(16), nullable=False),
        Column("calling_ae_title", String(64), nullable=False),
        Column("called_ae_title", String(64), nullable=False),
        Column("peer_address", String(64), nullable=False),
        Column("association_id", String(64), nullable=False),
        Column("received_at", MOMENT, nullable=False),
    )


def _inspection() -> None:
    op.create_table(
        "attempts",
        _id(),
        _reference("instance_id", "instances.id", nullable=False, index=True),
        Column("worker", String(128), nullable=False),
        Column("started_at", MOMENT, nullable=False),
        Column("error", Text()),
    )
    op.create_table(
        "dead_letters",
        _id(),
        _reference("instance_id", "instances.id", nullable=False, unique=True),
        Column("reason", Text(), nullable=False),
        Column("attempts", Integer(), nullable=False),
        Column("created_at", MOMENT, nullable=False),
    )
    op.create_table(
        "bundles",
        Column("id", String(64), primary_key=True),
        Column("path", Text(), nullable=False),
        Column("created_at", Text(), nullable=False),
        Column("training", JSON(), nullable=False),
        Column("lineage", JSON(), nullable=False),
        Column("registered_at", MOMENT, nullable=False),
    )
    op.create_table(
        "verdicts",
        _id(),
        _reference("instance_id", "instances.id", nullable=False),
        Column("bundle_id", String(64), nullable=False),
        Column("status", String(16), nullable=False),
        Column("sop_class_uid", Text(), nullable=False),
        Column("tags", JSON(), nullable=False),
        Column("cluster", Integer()),
        Column("cluster_probability", Float()),
        Column("novelty", Float()),
        Column("soft_assignment", LargeBinary(), nullable=False),
        Column("tag_probability", LargeBinary()),
        Column("neighbors", JSON()),
        Column("hints", JSON()),
        Column("defects", JSON()),
        Column("facts", JSON()),
        Column("reason", Text()),
        Column("created_at", MOMENT, nullable=False),
        UniqueConstraint("instance_id", "bundle_id"),
    )


def _findings() -> None:
    op.create_table(
        "findings",
        _id(),
        _reference("series_id", "series.id", nullable=False, index=True),
        Column("bundle_id", String(64), nullable=False),
        Column("code", String(64), nullable=False),
        Column("severity", String(16), nullable=False),
        Column("tag", String(64)),
        Column("observed", Text()),
        Column("score", Float(), nullable=False),
        Column("expected", JSON(), nullable=False),
        Column("evidence", JSON(), nullable=False),
        Column("created_at", MOMENT, nullable=False),
        Column("updated_at", MOMENT, nullable=False),
        Column("withdrawn_at", MOMENT),
        Column("decision", String(16)),
        Index("ix_findings_open", "withdrawn_at", "decision"),
    )
    op.create_table(
        "judgements",
        _id(),
        _reference("series_id", "series.id", nullable=False),
        Column("bundle_id", String(64), nullable=False),
        Column("tag", String(64), nullable=False),
        Column("observed", Text(), nullable=False),
        Column("shows", Text()),
        Column("probability_wrong", Float()),
        Column("score", Float()),
        Column("flagged", Boolean(), nullable=False),
        Column("withheld", Boolean(), nullable=False),
        UniqueConstraint("series_id", "tag"),
    )
    op.create_table(
        "decisions",
        _id(),
        _reference("finding_id", "findings.id", nullable=False, index=True),
        Column("decision", String(16), nullable=False),
        Column("corrected_value", Text()),
        Column("note", Text(), nullable=False),
        Column("reviewer", Text(), nullable=False),
        Column("decided_at", MOMENT, nullable=False, index=True),
        Column("shown", JSON(), nullable=False),
    )


def _training() -> None:
    op.create_table(
        "training_runs",
        _id(),
        Column("started_at", MOMENT, nullable=False),
        Column("finished_at", MOMENT),
        Column("status", String(16), nullable=False),
        Column("snapshot_digest", String(64)),
        Column("configuration", JSON(), nullable=False),
        Column("bundle_id", String(64)),
        Column("figures", JSON()),
        Column("error", Text()),
        Column("trigger", String(16)),
        Column("reason", Text()),
        Column("heartbeat_at", MOMENT),
        Column("champion_id", String(64)),
        Column("gate", JSON()),
        Column("outcome", String(16)),
    )


def _delivery() -> None:
    op.create_table(
        "destinations",
        _id(),
        Column("name", String(64), nullable=False, unique=True),
        Column("active", Boolean(), nullable=False),
        Column("added_at", MOMENT, nullable=False),
        Column("since", MOMENT),
        Column("sent", BigInteger(), nullable=False),
        Column("skipped", BigInteger(), nullable=False),
        Column("last_success_at", MOMENT),
        Column("last_failure_at", MOMENT),
        Column("last_failure", Text()),
    )
    op.create_table(
        "forwards",
        _id(),
        _reference("destination_id", "destinations.id", nullable=False),
        _reference("instance_id", "instances.id", nullable=False),
        Column("state", String(16), nullable=False),
        Column("attempts", Integer(), nullable=False),
        Column("queued_at", MOMENT, nullable=False),
        Column("due_at", MOMENT),
        Column("ended_at", MOMENT),
        Column("reason", Text()),
        UniqueConstraint("instance_id", "destination_id"),
        Index("ix_forwards_destination_id_state_id", "destination_id", "state", "id"),
    )
    op.create_table(
        "commitments",
        _id(),
        Column("name", String(128), nullable=False, unique=True),
        Column("transaction_uid", String(64), nullable=False),
        Column("calling_ae_title", String(64), nullable=False),
        Column("called_ae_title", String(64), nullable=False),
        Column("references", JSON(), nullable=False),
        Column("instances", Integer(), nullable=False),
        Column("received_at", MOMENT, nullable=False),
        Column("state", String(16), nullable=False),
        Column("attempts", Integer(), nullable=False),
        Column("due_at", MOMENT, nullable=False),
        Column("ended_at", MOMENT),
        Column("committed", Integer()),
        Column("reason", Text()),
        Index("ix_commitments_state_due_at", "state", "due_at"),
    )


def _audit() -> None:
    op.create_table(
        "audit_events",
        _id(),
        Column("at", MOMENT, nullable=False, index=True),
        Column("kind", String(64), nullable=False),
        Column("actor", Text(), nullable=False),
        Column("detail", JSON(), nullable=False),
    )
