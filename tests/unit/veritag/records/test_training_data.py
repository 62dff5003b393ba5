"""Training data in the records."""

from collections.abc import Callable

import pytest

from veritag.decisions import Decision
from veritag.dicom.identity import Identity
from veritag.findings import (
    Finding,
    FindingCode,
    SeriesJudgement,
    Severity,
    Verdict,
    VerdictStatus,
)
from veritag.records import Records
from veritag.records.inspection.dead_letters import add_dead_letter
from veritag.records.inspection.series_snapshot import series_snapshot
from veritag.records.inspection.settling import settle
from veritag.records.inspection.verdicts import store_verdicts
from veritag.records.reception.registration import register
from veritag.records.review.decisions import decide
from veritag.records.states import SettleReason
from veritag.records.training.training_data import (
    decided_tags,
    learnable_instances,
    learnable_kinds,
    not_learnable,
)
from veritag.storage.stored_instance import StoredInstance

Make = Callable[..., StoredInstance]
Judge = Callable[..., Verdict]


def kinds(records: Records, page: int = 3) -> list[tuple[object, ...]]:
    """Return all rows of the pages."""
    return [tuple(row) for rows in learnable_kinds(records, page=page) for row in rows]


@pytest.fixture
def received(records: Records, reception: Make) -> tuple[int, ...]:
    """Seven received instances of one series."""
    return register(records, [reception() for _ in range(7)]).new_ids


def found(records: Records, *findings: Finding) -> None:
    """Settle the only series with these findings."""
    series = series_snapshot(records, 1, "vb-1")
    assert series is not None
    settle(
        records,
        series,
        SeriesJudgement(1, False, findings, ()),
        "vb-1",
        SettleReason.IDLE,
    )


def wrong(tag: str | None, observed: str | None = "HEAD") -> Finding:
    """Return a finding about a tag."""
    code = FindingCode.TAG_CONTRADICTS_IMAGE if tag else FindingCode.UNKNOWN_KIND
    return Finding(code, Severity.ERROR, tag, observed, 0.9)


def test_pictures_are_told_page_by_page(
    records: Records, received: tuple[int, ...], verdict: Judge
) -> None:
    """Every inspected instance is returned once, in order of id, for any page size."""
    identity = Identity(modality="CT", body_part_examined="Thorax")
    verdicts = [(i, verdict(bundle_id=b)) for b in ("vb-1", "vb-2") for i in received]
    store_verdicts(records, verdicts, {received[0]: identity})
    expected = [(i, 1, "CT", "Thorax") for i in received]
    for page in (1, 3, 7, 100):
        assert kinds(records, page) == expected


def test_what_holds_no_picture_is_counted_by_its_reason(
    records: Records, received: tuple[int, ...], verdict: Judge
) -> None:
    """Waiting, dead and pictureless instances are counted by reason."""
    first, second, third, fourth, *_ = received
    no_pixels = verdict(status=VerdictStatus.NO_PIXELS)
    store_verdicts(records, [(first, verdict()), (second, no_pixels)])
    store_verdicts(records, [(third, verdict(status=VerdictStatus.UNREADABLE))])
    add_dead_letter(records, fourth, "it ends the process")
    assert [row[0] for row in kinds(records)] == [first]
    assert not_learnable(records) == {
        "not inspected yet": 3,
        "no picture that can be read": 3,
    }


def test_nothing_left_out_is_no_reason(
    records: Records, received: tuple[int, ...], verdict: Judge
) -> None:
    """Where every instance has a picture, there is no reason."""
    store_verdicts(records, [(i, verdict()) for i in received])
    assert not_learnable(records) == {}


def test_an_instance_comes_with_its_newest_tags(
    records: Records, received: tuple[int, ...], verdict: Judge
) -> None:
    """Tags are as received, cosines as a tuple, with device and patient."""
    first = received[0]
    identity = Identity(patient_id="P1", manufacturer="ACME", station_name="CT 1")
    old = verdict(tags={"Modality": "MR"})
    new = verdict(
        bundle_id="vb-2",
        tags={"Modality": "CT", "ImageOrientationPatient": (1, 0, 0, 0, 1, 0)},
    )
    store_verdicts(records, [(first, old)], {first: identity})
    store_verdicts(records, [(first, new)])
    (one,) = learnable_instances(records, [first, 10_000])
    assert one.tags == {
        "Modality": "CT",
        "ImageOrientationPatient": (1, 0, 0, 0, 1, 0),
    }
    assert (one.patient, one.manufacturer, one.station_name) == ("P1", "ACME", "CT 1")
    assert (one.series_id, one.digest) == (1, f"{1:032x}")


@pytest.mark.parametrize("patient_id", [None, ""])
def test_without_a_patient_id_the_study_keeps_patients_apart(
    records: Records, received: tuple[int, ...], verdict: Judge, patient_id: str | None
) -> None:
    """A study without Patient ID counts as a patient of its own."""
    first = received[0]
    identity = Identity(patient_id=patient_id)
    store_verdicts(records, [(first, verdict())], {first: identity})
    (one,) = learnable_instances(records, [first])
    assert one.patient == "1.2.3.100"


def test_many_instances_come_in_order(
    records: Records, reception: Make, verdict: Judge
) -> None:
    """More ids than fit into one statement are all returned, in order."""
    ids = register(records, [reception() for _ in range(620)]).new_ids
    store_verdicts(records, [(i, verdict()) for i in ids])
    found = [one.instance_id for one in learnable_instances(records, ids[::-1])]
    assert found == sorted(ids)


@pytest.mark.usefixtures("received")
def test_the_newest_decision_of_each_finding_is_told(records: Records) -> None:
    """Older decisions, undecided findings and findings about no tag are left out."""
    found(records, wrong("Modality", "MR"), wrong("BodyPartExamined"), wrong(None))
    decide(records, 2, Decision.CONFIRMED, "A", shown={})
    decide(records, 3, Decision.DISMISSED, "A", shown={})
    decide(records, 1, Decision.DISMISSED, "A", shown={})
    decide(records, 2, Decision.CORRECTED, "B", corrected_value="CHEST", shown={})
    (decided,) = decided_tags(records).values()
    assert [(one.tag, one.decision, one.corrected_value) for one in decided] == [
        ("Modality", Decision.DISMISSED, None),
        ("BodyPartExamined", Decision.CORRECTED, "CHEST"),
    ]
    assert decided[0].observed == "MR"


@pytest.mark.usefixtures("received")
def test_a_decision_outlives_its_finding(records: Records) -> None:
    """A decision still counts after another bundle no longer makes the finding."""
    found(records, wrong("BodyPartExamined"))
    decide(records, 1, Decision.DISMISSED, "A", shown={})
    found(records)
    assert [one.tag for one in decided_tags(records)[1]] == ["BodyPartExamined"]
