"""All Prometheus metrics of Veritag; no other module registers any.

Labels are closed lists: no UIDs, no free AE titles, no patient data. Each process exports
all metrics without labels, with 0 for those of other processes: queries name the job or
take the maximum. A test compares dashboards and alert rules with this file.
"""

from collections.abc import Iterable
from itertools import product

from prometheus_client import Counter, Gauge, Histogram

MODALITIES = frozenset(
    "BI CR CT DX ECG EPS ES GM HD IO IVUS KO MG MR NM OCT OP OPT OT PR PT PX REG RF "
    "RTDOSE RTIMAGE RTPLAN RTRECORD RTSTRUCT SC SEG SM SR US VL XA XC".split()
)

# --- Reception (listener) ---

# Instances acknowledged with 0x0000.
INSTANCES_RECEIVED = Counter("veritag_instances_received", "Instances acknowledged.")
# C-STOREs answered with a failure status, by reason.
INSTANCES_REFUSED = Counter(
    "veritag_instances_refused", "Instances refused, by reason.", ["reason"]
)
# Connections and association requests refused, by reason.
ASSOCIATIONS_REJECTED = Counter(
    "veritag_associations_rejected", "Associations rejected, by reason.", ["reason"]
)
# Associations served at this moment.
ASSOCIATIONS_OPEN = Gauge("veritag_associations_open", "Associations open now.")
# Expiry of the certificate for DICOM TLS; 0 without a certificate.
TLS_CERTIFICATE_EXPIRY = Gauge(
    "veritag_tls_certificate_expiry_timestamp_seconds", "End of our TLS certificate."
)
# 1 while the TLS files on disk are unusable and the earlier ones stay in use.
TLS_FILES_REFUSED = Gauge("veritag_tls_files_refused", "New TLS files are refused.")
# Audit messages that were dropped.
AUDIT_DROPPED = Counter("veritag_audit_dropped", "Audit messages lost.")
# Audit messages that wait for the repository.
AUDIT_WAITING = Gauge("veritag_audit_waiting", "Audit messages not yet delivered.")
# From the last fragment of the Data Set to the response: write, fsync, rename.
RECEPTION_SECONDS = Histogram(
    "veritag_reception_seconds",
    "Time to make a received instance durable.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
# Free bytes on the file system of the spool.
SPOOL_FREE_BYTES = Gauge("veritag_spool_free_bytes", "Free bytes where the spool lies.")

# --- Indexer ---

# Instances acknowledged and not yet indexed.
SPOOL_READY = Gauge(
    "veritag_spool_ready_instances", "Instances waiting for the indexer."
)
# Receptions recorded, repeated ones too.
INSTANCES_INDEXED = Counter("veritag_instances_indexed", "Receptions recorded.")
# SOP Instance UIDs received again: with identical bytes, or in conflict.
DUPLICATES = Counter(
    "veritag_duplicates", "SOP Instance UIDs received again, by kind.", ["kind"]
)
# Messages that could not be published; they are published later.
DISPATCH_FAILURES = Counter("veritag_dispatch_failures", "Messages not published.")

# --- Storage commitment (requests in the listener, reports in the delivery) ---

# N-ACTIONs answered: accepted, refused.
COMMITMENT_REQUESTS = Counter(
    "veritag_commitment_requests", "Commitment requests, by answer.", ["answer"]
)
# Reports that the requestor accepted, or that were given up.
COMMITMENT_REPORTS = Counter(
    "veritag_commitment_reports", "Commitment reports, by outcome.", ["outcome"]
)
# Requests accepted and not yet reported, and the age of the oldest.
COMMITMENTS_WAITING = Gauge(
    "veritag_commitments_waiting", "Commitment requests not yet reported."
)
COMMITMENTS_OLDEST = Gauge(
    "veritag_commitments_oldest_seconds", "Age of the oldest of them."
)

# --- Forwarding (delivery); destinations are those of the settings ---

# Instances that wait to be sent, and the age of the oldest.
FORWARDS_WAITING = Gauge(
    "veritag_forwards_waiting", "Instances waiting for a destination.", ["destination"]
)
FORWARDS_OLDEST = Gauge(
    "veritag_forwards_oldest_seconds", "Age of the oldest of them.", ["destination"]
)
# Instances parked until a person requests them again.
FORWARDS_PARKED = Gauge(
    "veritag_forwards_parked", "Instances parked for a destination.", ["destination"]
)
# Instances that a destination has acknowledged.
FORWARDED = Counter(
    "veritag_instances_forwarded", "Instances acknowledged.", ["destination"]
)
# Instances refused, and associations that failed.
FORWARD_FAILURES = Counter(
    "veritag_forward_failures", "Failed tries, by destination.", ["destination", "kind"]
)

# Free bytes on the file system of the archive.
ARCHIVE_FREE_BYTES = Gauge(
    "veritag_archive_free_bytes", "Free bytes where the archive lies."
)

# --- Retention (scheduler) ---

# Instances whose files were deleted after `retain_days`.
REMOVED = Counter("veritag_instances_removed", "Files removed from the archive.")
REMOVED_BYTES = Counter(
    "veritag_removed_bytes", "Size of the files removed from the archive."
)

# --- Inspection (worker) ---

# Verdicts stored.
INSPECTED = Counter(
    "veritag_instances_inspected", "Verdicts stored.", ["status", "modality"]
)
# From the response 0x0000 to the stored verdict.
INSPECTION_SECONDS = Histogram(
    "veritag_inspection_latency_seconds",
    "Time from acknowledgement to the stored verdict.",
    buckets=(0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
)
# Parts of an inspection: read, tile, model, store.
STAGE_SECONDS = Histogram(
    "veritag_inspection_stage_seconds",
    "Time of one stage of an inspection.",
    ["stage"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
# Decoding processes that were ended (time, memory) or crashed.
DECODING_ENDED = Counter(
    "veritag_decoding_ended", "Readings of a file that were ended, by limit.", ["limit"]
)
# Instances given up after the last attempt.
DEAD_LETTERED = Counter("veritag_dead_lettered", "Instances that became dead letters.")
# Series settled, by reason: idle or cap.
SERIES_SETTLED = Counter("veritag_series_settled", "Series settled.", ["reason"])
# Findings opened.
FINDINGS = Counter("veritag_findings", "Findings opened.", ["code", "modality"])
# Always 1; the label is the bundle in use.
BUNDLE = Gauge("veritag_bundle_info", "The bundle in use.", ["bundle_id"])
# 1 for the execution provider that ONNX Runtime uses.
PROVIDER = Gauge(
    "veritag_inference_provider", "Execution provider in use.", ["provider"]
)

# --- State of the records, read by the scheduler ---

# Indexed instances without verdict that are not dead letters.
BACKLOG = Gauge("veritag_backlog_instances", "Instances waiting for a verdict.")
# Age of the oldest of them; 0 when there is none.
BACKLOG_OLDEST = Gauge(
    "veritag_backlog_oldest_seconds", "Age of the oldest uninspected instance."
)
# Dead letters of all time.
DEAD_LETTERS = Gauge("veritag_dead_letters", "Dead letters in the records.")
# Findings that wait for a decision.
OPEN_FINDINGS = Gauge("veritag_findings_open", "Findings without a decision.")
# Instances published again by the scheduler.
REPUBLISHED = Counter("veritag_instances_republished", "Instances published again.")

# --- Training, read from the records by the scheduler ---

# Training runs of all time: requested, running, finished, failed.
TRAINING_RUNS = Gauge("veritag_training_runs", "Training runs, by state.", ["state"])
# Decisions of the gate about their bundles: promoted, kept, undecided.
TRAINING_OUTCOMES = Gauge(
    "veritag_training_outcomes", "Decisions of the gate.", ["outcome"]
)
# End of the last finished run; 0 before the first.
TRAINING_LAST_SUCCESS = Gauge(
    "veritag_training_last_success_timestamp_seconds", "End of the last finished run."
)
# Duration of that run.
TRAINING_LAST_SECONDS = Gauge(
    "veritag_training_last_duration_seconds", "Duration of the last finished run."
)
# Distance between the clusters of recent series and those of the training, 0 to 1.
CLUSTER_DRIFT = Gauge("veritag_cluster_drift", "Drift of cluster occupancy.")
# Rise of the share of images of unknown kind since the training.
UNKNOWN_RISE = Gauge("veritag_unknown_rise", "Rise of the share of unknown kinds.")

# --- Review ---

# Decisions of reviewers.
DECISIONS = Counter("veritag_review_decisions", "Decisions stored.", ["decision"])


def modality_label(value: str | None) -> str:
    """Return a Modality as label: itself if it is in the closed list, else `other`."""
    return value if value in MODALITIES else "other"


def count_from_zero(counter: Counter, *labels: Iterable[str]) -> None:
    """Export each combination of a counter's labels with 0.

    Prometheus computes increases between two samples: the first count of a series that
    appears with 1 is lost.
    """
    for values in product(*labels):
        counter.labels(*values)
