"""Records and archive of a small hospital day: phantom studies, some with wrong tags."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import count
from pathlib import Path

from pydicom import Dataset

from veritag.dicom.identity import Identity
from veritag.findings import (
    ExpectedValue,
    Finding,
    FindingCode,
    SeriesJudgement,
    Severity,
    Verdict,
    VerdictStatus,
)
from veritag.phantoms.series import phantom_series
from veritag.records import Records
from veritag.records.inspection.series_snapshot import series_snapshot
from veritag.records.inspection.settling import due_series, settle
from veritag.records.inspection.verdicts import store_verdicts
from veritag.records.reception.registration import register
from veritag.records.review.study import study_detail
from veritag.records.states import SettleReason
from veritag.storage.archive import Archive
from veritag.storage.stored_instance import Provenance, StoredInstance

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
BUNDLE = "vb-0123456789abcdef"
PATIENT_NAME = "GEHEIM^PATIENT"

WRONG_BODY_PART = Finding(
    code=FindingCode.TAG_CONTRADICTS_IMAGE,
    severity=Severity.ERROR,
    tag="BodyPartExamined",
    observed="HAND",
    score=0.973,
    expected=(
        ExpectedValue("CHEST", 0.91),
        ExpectedValue("THORAX", 0.06),
        ExpectedValue("RIB", 0.02),
    ),
    evidence={
        "instances": 4,
        "known": 4,
        "clusters": [
            {"cluster": 7, "weight": 0.93},
            {"cluster": 2, "weight": 0.05},
        ],
        "score": 0.95,
        "threshold": 0.9,
    },
)
MISSING_POSITION = Finding(
    code=FindingCode.TAG_MISSING,
    severity=Severity.WARNING,
    tag="PatientPosition",
    observed=None,
    score=0.88,
    expected=(ExpectedValue("HFS", 0.88), ExpectedValue("FFS", 0.1)),
    evidence={"instances": 4, "known": 3, "carriers": 1},
)
UNKNOWN_KIND = Finding(
    code=FindingCode.UNKNOWN_KIND,
    severity=Severity.INFO,
    tag=None,
    observed=None,
    score=1.0,
    evidence={"instances": 2, "known": 0},
)


@dataclass
class ReviewTestbed:
    """Archives, records and judges series."""

    records: Records
    data_dir: Path
    studies: dict[str, str] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)
    bundle_id: str = BUNDLE

    def add(
        self,
        kind: str,
        *findings: Finding,
        instances: int = 4,
        description: str | None = None,
        station_name: str | None = None,
    ) -> str:
        """Add a phantom series with these findings; return its Study Instance UID.

        Its received tags are those that the findings observed.
        """
        patient = next(self.numbers)
        sent = phantom_series(
            kind, patient=patient, instances=instances, seed=7, size=128
        )
        received = {"BodyPartExamined": str(sent[0].BodyPartExamined)}
        received |= {f.tag: f.observed for f in findings if f.tag and f.observed}
        stored = [self._archive(ds) for ds in sent]
        ids = register(self.records, stored).new_ids
        identity = Identity(
            patient_id=str(sent[0].PatientID),
            accession_number=str(sent[0].AccessionNumber),
            study_date=str(sent[0].StudyDate),
            study_description=description or str(sent[0].StudyDescription),
            series_number=str(sent[0].SeriesNumber),
            series_description=str(sent[0].SeriesDescription),
            modality=str(sent[0].Modality),
            body_part_examined=received.get("BodyPartExamined"),
            station_name=station_name,
        )
        verdict = Verdict(
            self.bundle_id, VerdictStatus.INSPECTED, str(sent[0].SOPClassUID)
        )
        store_verdicts(
            self.records, [(i, verdict) for i in ids], dict.fromkeys(ids, identity)
        )
        self.settle(*findings)
        study_uid = str(sent[0].StudyInstanceUID)
        self.studies[kind] = study_uid
        return study_uid

    def settle(self, *findings: Finding) -> None:
        """Settle every open series with these findings."""
        for due in due_series(self.records, idle_seconds=0.001, cap_seconds=900):
            self._settle(due.series_id, due.reason, findings)

    def _settle(
        self, series_id: int, reason: SettleReason, findings: tuple[Finding, ...]
    ) -> None:
        snapshot = series_snapshot(self.records, series_id, self.bundle_id)
        assert snapshot is not None
        judgement = SeriesJudgement(snapshot.instances, False, findings, ())
        settle(self.records, snapshot, judgement, self.bundle_id, reason)

    def judge_again(self, study_uid: str, *findings: Finding) -> None:
        """Settle the series of a study again with these findings."""
        study = study_detail(self.records, study_uid)
        assert study is not None
        for row in study.series:
            self._settle(row.series_id, SettleReason.IDLE, findings)

    def add_dead_letter(self, reason: str, calling: str = "SCANNER1") -> None:
        """Add an instance that cannot be parsed."""
        number = next(self.numbers)
        stored = self._stored(
            f"{number:032x}", SECONDARY_CAPTURE, f"1.9.{number}", problem=reason
        )
        sender = replace(stored.provenance, calling_ae_title=calling)
        register(self.records, [replace(stored, provenance=sender)])

    def _archive(self, ds: Dataset) -> StoredInstance:
        ds.PatientName = PATIENT_NAME
        digest = blake2b(str(ds.SOPInstanceUID).encode(), digest_size=16).hexdigest()
        archive = Archive(self.data_dir / "archive")
        path = archive.path(archive.key(digest))
        path.parent.mkdir(parents=True, exist_ok=True)
        ds.save_as(path, enforce_file_format=True)
        return self._stored(
            digest,
            str(ds.SOPClassUID),
            str(ds.SOPInstanceUID),
            (str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID)),
        )

    def _stored(
        self,
        digest: str,
        sop_class_uid: str,
        sop_instance_uid: str,
        of_series: tuple[str, str] | None = None,
        problem: str | None = None,
    ) -> StoredInstance:
        study_uid, series_uid = of_series or (None, None)
        return StoredInstance(
            spool_name=f"spool-{digest}",
            digest=digest,
            archive_key=Archive.key(digest),
            size=1000,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            study_instance_uid=study_uid,
            series_instance_uid=series_uid,
            provenance=Provenance(
                "SCANNER1",
                "VERITAG",
                "127.0.0.1",
                "association-1",
                datetime.now(UTC) - timedelta(minutes=12),
            ),
            problem=problem,
        )


def fill(testbed: ReviewTestbed) -> ReviewTestbed:
    """Add two studies with findings, one without, and a dead letter."""
    testbed.add("CR-CHEST", WRONG_BODY_PART, MISSING_POSITION)
    testbed.add("MR-KNEE", UNKNOWN_KIND, instances=2)
    testbed.add("CT-HEAD", instances=16)
    testbed.add_dead_letter("the Data Set cannot be parsed")
    return testbed
