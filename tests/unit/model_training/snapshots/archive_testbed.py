"""A small site to learn from: phantoms in an archive, inspected, with records."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydicom import Dataset

from model_training.snapshots.archive.archive_snapshot import archive_snapshot
from model_training.snapshots.image_sampling import SamplingConfig
from model_training.snapshots.snapshot import Snapshot
from veritag.decisions import Decision
from veritag.findings import Finding, FindingCode, SeriesJudgement, Severity, Verdict
from veritag.phantoms.series import phantom_series
from veritag.pixels.preprocessing import Preprocessing
from veritag.records import Records
from veritag.records.inspection.series_snapshot import series_snapshot
from veritag.records.inspection.settling import due_series, settle
from veritag.records.inspection.verdicts import store_verdicts
from veritag.records.reception.registration import register
from veritag.records.review.decisions import decide
from veritag.records.review.study import study_detail
from veritag.records.states import SettleReason
from veritag.storage.archive import Archive
from veritag.storage.stored_instance import Provenance, StoredInstance
from worker.preparation import prepare

BUNDLE = "vb-0123456789abcdef"
PRE = Preprocessing(size=32)


@dataclass
class ArchiveTestbed:
    """Archive and records, filled as indexer and worker do."""

    records: Records
    data_dir: Path
    config: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        self.archive = Archive(self.data_dir / "archive")
        self.archive.root.mkdir(parents=True)

    def receive(self, datasets: list[Dataset]) -> list[int]:
        """Archive and record instances; return their ids."""
        return list(register(self.records, [self._stored(d) for d in datasets]).new_ids)

    def add(
        self, kind: str, patient: int = 0, instances: int = 2, station: str = ""
    ) -> list[Dataset]:
        """Receive and inspect a phantom series."""
        series = phantom_series(
            kind, patient=patient, instances=instances, seed=11, size=64
        )
        for ds in series:
            if station:
                ds.StationName = station
        self.inspect(self.receive(series), series)
        return series

    def inspect(self, ids: list[int], datasets: list[Dataset]) -> None:
        """Inspect archived instances and store the verdicts."""
        verdicts, identities = [], {}
        for instance_id, ds in zip(ids, datasets, strict=True):
            prepared = prepare(self.path(ds), PRE, max_frame_mb=64)
            verdict = Verdict(
                BUNDLE, prepared.status, str(ds.SOPClassUID), prepared.tags
            )
            verdicts.append((instance_id, verdict))
            if prepared.identity:
                identities[instance_id] = prepared.identity
        store_verdicts(self.records, verdicts, identities)

    def review(
        self,
        ds: Dataset,
        tag: str,
        observed: str | None,
        decision: Decision,
        corrected_value: str | None = None,
        code: FindingCode = FindingCode.TAG_CONTRADICTS_IMAGE,
    ) -> None:
        """Make a finding on a tag of the series of `ds`, and store a decision on it."""
        finding = Finding(code, Severity.ERROR, tag, observed, 0.9)
        for due in due_series(self.records, idle_seconds=0.0, cap_seconds=0.0):
            series = series_snapshot(self.records, due.series_id, BUNDLE)
            assert series is not None
            mine = series.series_instance_uid == ds.SeriesInstanceUID
            judgement = SeriesJudgement(1, False, (finding,) if mine else (), ())
            settle(self.records, series, judgement, BUNDLE, SettleReason.IDLE)
        study = study_detail(self.records, str(ds.StudyInstanceUID))
        assert study is not None
        row = next(f for f in study.series[0].findings if f.tag == tag)
        decide(
            self.records,
            row.finding_id,
            decision,
            "A. Reviewer",
            corrected_value=corrected_value,
            shown={},
        )

    def snapshot(self) -> Snapshot:
        """Take a snapshot of the archive."""
        return archive_snapshot(
            self.records, self.archive, self.data_dir, PRE, config=self.config
        )

    def path(self, ds: Dataset) -> Path:
        """Return where the archive keeps an instance."""
        return self.archive.path(Archive.key(_digest(ds)))

    def _stored(self, ds: Dataset) -> StoredInstance:
        digest = _digest(ds)
        source = self.data_dir / f"{digest}.tmp"
        ds.save_as(source, enforce_file_format=True)
        key = self.archive.put(source, digest)
        source.unlink()
        return StoredInstance(
            spool_name=f"spool-{digest}",
            digest=digest,
            archive_key=key,
            size=self.archive.path(key).stat().st_size,
            sop_class_uid=str(ds.SOPClassUID),
            sop_instance_uid=str(ds.SOPInstanceUID),
            transfer_syntax_uid=str(ds.file_meta.TransferSyntaxUID),
            study_instance_uid=str(ds.StudyInstanceUID),
            series_instance_uid=str(ds.SeriesInstanceUID),
            provenance=Provenance("S", "V", "127.0.0.1", "a", datetime.now(UTC)),
        )


def _digest(ds: Dataset) -> str:
    content = str(ds.SOPInstanceUID).encode()
    return hashlib.blake2b(content, digest_size=16).hexdigest()
