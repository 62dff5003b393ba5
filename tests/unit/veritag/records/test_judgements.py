"""Judgements of each tag, and the budget of opened flags."""

from collections.abc import Callable

import pytest
from sqlalchemy import select

from veritag.dicom.identity import Identity
from veritag.findings import (
    Finding,
    FindingCode,
    Judgement,
    SeriesJudgement,
    Severity,
    Verdict,
)
from veritag.records import Records
from veritag.records.inspection.judgements import ReviewBudget
from veritag.records.inspection.series_snapshot import series_snapshot
from veritag.records.inspection.settling import due_series, settle
from veritag.records.inspection.verdicts import store_verdicts
from veritag.records.reception.registration import register
from veritag.records.schema import judgements
from veritag.records.states import SettleReason
from veritag.storage.stored_instance import StoredInstance

Make = Callable[..., StoredInstance]
Judge = Callable[..., Verdict]


def flag(probability: float, tag: str = "BodyPartExamined") -> Judgement:
    """Return a flagged judgement."""
    return Judgement(tag, "HEAD", probability, "CHEST", probability, flagged=True)


def series_judgement(*judgements: Judgement) -> SeriesJudgement:
    """Return a judgement with a finding for each flagged tag."""
    contradicts, error = FindingCode.TAG_CONTRADICTS_IMAGE, Severity.ERROR
    findings = tuple(
        Finding(contradicts, error, j.tag, j.observed, j.probability_wrong or 0)
        for j in judgements
        if j.flagged
    )
    return SeriesJudgement(1, False, findings, judgements)


class SeriesTestbed:
    """Settles one series after the other, each of a study of its own."""

    def __init__(self, records: Records, reception: Make, verdict: Judge) -> None:
        self.records, self.reception, self.verdict = records, reception, verdict
        self.number = 0

    def arrive(self, study: str | None = None, **identity: str) -> int:
        """Receive and inspect a series; return its id."""
        self.number += 1
        study = study or f"1.2.3.{self.number}"
        uids = {
            "study_instance_uid": study,
            "series_instance_uid": f"{study}.{self.number}",
        }
        [id_] = register(self.records, [self.reception(seconds_ago=9, **uids)]).new_ids
        store_verdicts(
            self.records, [(id_, self.verdict())], {id_: Identity(**identity)}
        )
        return max(d.series_id for d in due_series(self.records, 5, 900))

    def settle(
        self, judgement: SeriesJudgement, series_id: int, budget: float = 0
    ) -> int:
        """Settle a series; return how many findings are newly open."""
        snapshot = series_snapshot(self.records, series_id, "vb-1")
        assert snapshot is not None
        opened = settle(
            self.records,
            snapshot,
            judgement,
            "vb-1",
            SettleReason.IDLE,
            budget_per_1000=budget,
        )
        return len(opened)


@pytest.fixture
def testbed(records: Records, reception: Make, verdict: Judge) -> SeriesTestbed:
    """Return a testbed with empty records."""
    return SeriesTestbed(records, reception, verdict)


def stored(records: Records) -> list[tuple[str, float | None, bool, bool]]:
    """Return tag, probability, flagged and withheld of every judgement."""
    columns = [
        judgements.c[n] for n in ("tag", "probability_wrong", "flagged", "withheld")
    ]
    with records.read() as connection:
        query = select(*columns).order_by(judgements.c.id)
        return [tuple(row) for row in connection.execute(query)]


def test_the_judgement_of_a_tag_replaces_the_earlier_one(
    testbed: SeriesTestbed,
) -> None:
    """A series judged again has the new judgements and none of the old."""
    series_id = testbed.arrive()
    testbed.settle(
        series_judgement(flag(0.9), Judgement("Modality", "CT", None)), series_id
    )
    assert stored(testbed.records) == [
        ("BodyPartExamined", 0.9, True, False),
        ("Modality", None, False, False),
    ]
    testbed.settle(
        series_judgement(Judgement("BodyPartExamined", "HEAD", 0.1)), series_id
    )
    assert stored(testbed.records) == [("BodyPartExamined", 0.1, False, False)]


def test_the_budget_opens_the_best_and_keeps_the_rest(testbed: SeriesTestbed) -> None:
    """At 100 of 1,000 series, ten series open one flag, twenty the two best."""
    for _ in range(9):
        testbed.settle(series_judgement(), testbed.arrive(), budget=100)
    assert (
        testbed.settle(series_judgement(flag(0.8)), testbed.arrive(), budget=100) == 1
    )
    assert (
        testbed.settle(series_judgement(flag(0.99)), testbed.arrive(), budget=100) == 0
    )
    for _ in range(8):
        testbed.settle(series_judgement(), testbed.arrive(), budget=100)
    assert (
        testbed.settle(series_judgement(flag(0.7)), testbed.arrive(), budget=100) == 0
    )
    assert (
        testbed.settle(series_judgement(flag(0.95)), testbed.arrive(), budget=100) == 1
    )
    flags = [
        (p, withheld) for _, p, flagged, withheld in stored(testbed.records) if flagged
    ]
    assert flags == [(0.8, False), (0.99, True), (0.7, True), (0.95, False)]


def test_what_was_opened_stays_open(testbed: SeriesTestbed) -> None:
    """A series that is judged again keeps its finding whatever the budget says."""
    series_id = testbed.arrive()
    assert testbed.settle(series_judgement(flag(0.8)), series_id) == 1
    for _ in range(3):
        testbed.settle(series_judgement(flag(0.9)), testbed.arrive())
    assert testbed.settle(series_judgement(flag(0.81)), series_id, budget=1) == 0
    assert stored(testbed.records)[-1][3] is False


def test_without_budget_every_flag_is_opened(testbed: SeriesTestbed) -> None:
    """0 is no limit."""
    opened = [
        testbed.settle(series_judgement(flag(0.8)), testbed.arrive()) for _ in range(4)
    ]
    assert opened == [1, 1, 1, 1]


def test_a_budget_serves_the_best_flags_of_a_series_first() -> None:
    """The last place goes to the surer flag; a flag that is too weak is not opened."""
    flags = [flag(0.8, "Modality"), flag(0.9)]
    assert ReviewBudget(1).withheld(flags) == {"Modality"}
    assert ReviewBudget(5, (0.95, 0.0)).withheld(flags) == {
        "Modality",
        "BodyPartExamined",
    }
    assert ReviewBudget(0).withheld(flags) == {"Modality", "BodyPartExamined"}


def test_a_snapshot_tells_what_the_rest_of_the_study_carries(
    testbed: SeriesTestbed,
) -> None:
    """Modality and body part of the other series, absent ones left out."""
    testbed.arrive("1.2.9", modality="CT", body_part_examined="HEAD")
    testbed.arrive("1.2.9", modality="SR")
    last = testbed.arrive("1.2.9", modality="CT", body_part_examined="FOOT")
    snapshot = series_snapshot(testbed.records, last, "vb-1")
    assert snapshot is not None
    assert snapshot.siblings == (
        {"Modality": "CT", "BodyPartExamined": "HEAD"},
        {"Modality": "SR"},
    )
