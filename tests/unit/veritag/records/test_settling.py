"""Settling of series, with their findings and decisions."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime
from itertools import count

import pytest
from sqlalchemy import event, insert, select, update

from veritag.decisions import Decision
from veritag.findings import (
    ExpectedValue,
    Finding,
    FindingCode,
    SeriesJudgement,
    Severity,
    Verdict,
)
from veritag.records import Records
from veritag.records.audit import audit_trail
from veritag.records.inspection.series_snapshot import SeriesSnapshot, series_snapshot
from veritag.records.inspection.settling import due_series, settle
from veritag.records.inspection.verdicts import store_verdicts
from veritag.records.reception.registration import register
from veritag.records.review.decisions import UnknownFinding, decide, decisions_since
from veritag.records.review.study import RecordedFinding, recorded_finding, study_detail
from veritag.records.review.worklist import worklist
from veritag.records.schema import findings, series
from veritag.records.states import SettleReason, WorklistState
from veritag.records.status import system_counts
from veritag.storage.stored_instance import StoredInstance

Make = Callable[..., StoredInstance]
Judge = Callable[..., Verdict]

WRONG = Finding(
    FindingCode.TAG_CONTRADICTS_IMAGE,
    Severity.ERROR,
    "BodyPartExamined",
    "HEAD",
    0.99,
    (ExpectedValue("CHEST", 0.97),),
    {"instances": 2},
)


def judgement(*found: Finding) -> SeriesJudgement:
    """Return a judgement with just these findings."""
    return SeriesJudgement(2, False, found, ())


def snapshot_of(records: Records, bundle_id: str = "vb-1") -> SeriesSnapshot:
    """Return the only series as it stands."""
    found = series_snapshot(records, 1, bundle_id)
    assert found is not None
    return found


def settled(records: Records, *found: Finding) -> tuple[Finding, ...]:
    """Settle the only series with these findings."""
    return settle(
        records, snapshot_of(records), judgement(*found), "vb-1", SettleReason.IDLE
    )


def due(records: Records, idle: float, cap: float) -> list[str]:
    """Return the reasons of the due series."""
    return [d.reason for d in due_series(records, idle, cap)]


@pytest.fixture
def inspected(records: Records, reception: Make, verdict: Judge) -> tuple[int, ...]:
    """Two inspected instances of one series, received ten seconds ago."""
    ids = register(records, [reception(seconds_ago=10) for _ in range(2)]).new_ids
    store_verdicts(records, [(id_, verdict()) for id_ in ids])
    return ids


@pytest.mark.usefixtures("inspected")
def test_a_series_is_due_after_its_idle_time_or_its_cap(records: Records) -> None:
    """A series that is idle for ten seconds is due after 5, or over the cap."""
    assert due(records, 5, 900) == ["idle"]
    assert due(records, 30, 900) == []
    assert due(records, 30, 0) == ["cap"]


def test_a_clock_that_was_wrong_does_not_hold_up_a_series(
    records: Records, reception: Make, verdict: Judge
) -> None:
    """A reception time in the future beyond the cap does not delay settling."""
    ids = register(records, [reception(seconds_ago=-7200)]).new_ids
    store_verdicts(records, [(id_, verdict()) for id_ in ids])
    assert due(records, 5, 10_000) == []
    assert due(records, 5, 900) == ["idle"]


@pytest.mark.usefixtures("inspected")
def test_an_idle_series_waits_for_its_uninspected_instances(
    records: Records, reception: Make
) -> None:
    """Settling waits for the verdicts of all instances, except over the cap."""
    register(records, [reception(seconds_ago=9)])
    assert due(records, 5, 900) == []
    assert due(records, 5, 0) == ["cap"]


@pytest.mark.usefixtures("inspected")
def test_a_late_arrival_opens_the_series_again(
    records: Records, reception: Make
) -> None:
    """A settled series that receives an instance is not settled any more."""
    settled(records)
    assert system_counts(records).series_settled == 1
    register(records, [reception()])
    assert system_counts(records).series_settled == 0


def test_an_identical_instance_leaves_a_settled_series_alone(
    records: Records, reception: Make, verdict: Judge
) -> None:
    """A retransmission does not open the series."""
    first = reception(seconds_ago=10)
    ids = register(records, [first]).new_ids
    store_verdicts(records, [(ids[0], verdict())])
    settled(records)
    again = reception(sop_instance_uid=first.sop_instance_uid, digest=first.digest)
    register(records, [again])
    assert system_counts(records).series_settled == 1


def test_what_arrives_while_judging_keeps_the_series_open(
    records: Records, reception: Make, inspected: tuple[int, ...]
) -> None:
    """The findings are stored, and the series is judged again."""
    assert len(inspected) == 2
    before = snapshot_of(records)
    register(records, [reception(seconds_ago=9)])
    settle(records, before, judgement(WRONG), "vb-1", SettleReason.IDLE)
    assert (
        system_counts(records).series_settled,
        system_counts(records).findings_open,
    ) == (0, 1)


def test_a_verdict_of_another_bundle_is_named_as_missing(
    records: Records, inspected: tuple[int, ...]
) -> None:
    """The worker inspects such instances again before it settles."""
    found = snapshot_of(records, "vb-2")
    assert (found.verdicts, found.missing) == ((), inspected)


@pytest.mark.usefixtures("inspected")
def test_a_snapshot_returns_the_verdicts_as_they_were_stored(
    records: Records, verdict: Judge
) -> None:
    """A verdict is read back as it was stored."""
    assert snapshot_of(records).verdicts == (verdict(), verdict())


def as_made(recorded: RecordedFinding) -> Finding:
    """Return a recorded finding as it was given to `settle`."""
    return Finding(**{f.name: getattr(recorded, f.name) for f in fields(Finding)})


@pytest.mark.usefixtures("inspected")
def test_a_finding_made_again_keeps_its_id_and_decision(records: Records) -> None:
    """Only the first settling opens it; a decision survives the second."""
    assert settled(records, WRONG) == (WRONG,)
    decide(records, 1, Decision.DISMISSED, "Reviewer", shown={"score": 0.99})
    assert settled(records, WRONG) == ()
    row = recorded_finding(records, 1)
    assert row is not None
    assert as_made(row) == WRONG
    assert [d.decision for d in row.decisions] == [Decision.DISMISSED]
    assert system_counts(records).findings_open == 0


@pytest.mark.usefixtures("inspected")
def test_a_finding_that_no_longer_holds_is_withdrawn_and_may_return(
    records: Records,
) -> None:
    """It leaves the worklist, keeps its row, and returns under its id."""
    settled(records, WRONG)
    settled(records)
    row = recorded_finding(records, 1)
    assert row is not None
    assert row.withdrawn_at is not None
    assert worklist(records).total == 0
    assert settled(records, WRONG) == (WRONG,)
    assert worklist(records).total == 1


def shown_findings(records: Records) -> list[tuple[int, bool, int]]:
    """Return id, whether it stands, and the number of decisions of each finding."""
    detail = study_detail(records, "1.2.3.100")
    assert detail is not None
    return [
        (f.finding_id, f.withdrawn_at is None, len(f.decisions))
        for f in detail.series[0].findings
    ]


@pytest.mark.usefixtures("inspected")
@pytest.mark.parametrize("observed", ["HEAD", "HEAD\0"])
def test_what_is_found_twice_is_one_finding(records: Records, observed: str) -> None:
    """Equal findings are one, also when their text is equal only once cleaned."""
    twin = replace(WRONG, observed=observed, score=0.5)
    assert settled(records, WRONG, twin) == (WRONG,)
    assert settled(records, WRONG, twin) == ()
    assert shown_findings(records) == [(1, True, 0)]
    row = recorded_finding(records, 1)
    assert row is not None
    assert as_made(row) == WRONG


@pytest.mark.usefixtures("inspected")
@pytest.mark.parametrize("decided", [None, 2])
def test_doubles_of_old_are_withdrawn_but_one(
    records: Records, decided: int | None
) -> None:
    """The first stays, or the one that was decided."""
    settled(records, WRONG)
    columns = [c.name for c in findings.c if c.name != "id"]
    double = select(*(findings.c[name] for name in columns)).where(findings.c.id == 1)
    with records.begin() as connection:
        for _ in range(2):
            connection.execute(insert(findings).from_select(columns, double))
    if decided:
        decide(records, decided, Decision.DISMISSED, "A", shown={})
    assert settled(records, WRONG) == ()
    stands = [number for number, stands, _ in shown_findings(records) if stands]
    assert stands == [decided or 1]
    assert settled(records) == ()
    assert not any(stands for _, stands, _ in shown_findings(records))


@pytest.mark.usefixtures("inspected")
def test_decisions_are_appended_and_the_newest_counts(records: Records) -> None:
    """Both decisions stay, with who and when, and each leaves an audit event."""
    settled(records, WRONG)
    first = decide(records, 1, Decision.DISMISSED, "A", shown={})
    second = decide(
        records, 1, Decision.CORRECTED, "B", corrected_value="CHEST", shown={}
    )
    assert decisions_since(records, first.decided_at) == [first, second]
    assert worklist(records, state=WorklistState.DECIDED).rows[0].findings_decided == 1
    assert [e.actor for e in audit_trail(records)] == ["B", "A"]


def test_a_decision_on_nothing_is_refused(records: Records) -> None:
    """An unknown finding takes no decision."""
    with pytest.raises(UnknownFinding):
        decide(records, 99, Decision.CONFIRMED, "A", shown={})


@pytest.mark.usefixtures("inspected")
def test_the_worklist_groups_findings_by_study(records: Records) -> None:
    """One row per study, with worst severity, codes and counts; filters apply."""
    info = Finding(FindingCode.MIXED_SERIES, Severity.INFO, None, None, 1.0)
    settled(records, WRONG, info)
    page = worklist(records)
    (row,) = page.rows
    assert (page.total, row.instances, row.findings_open) == (1, 2, 2)
    assert (row.worst, row.codes) == (
        Severity.ERROR,
        ("MIXED_SERIES", "TAG_CONTRADICTS_IMAGE"),
    )
    assert worklist(records, code=FindingCode.UNREADABLE).total == 0
    assert worklist(records, modality="MR").total == 0
    assert (
        worklist(records, code=FindingCode.MIXED_SERIES, least=Severity.ERROR).total
        == 0
    )
    detail = study_detail(records, row.study_instance_uid)
    assert detail is not None
    assert [as_made(f) for f in detail.series[0].findings] == [WRONG, info]
    assert len(detail.series[0].thumbnails) == 2


def test_an_unknown_study_has_no_detail(records: Records) -> None:
    """An unknown study returns None."""
    assert study_detail(records, "1.2.3") is None


def test_a_series_uid_in_two_studies_concerns_both(
    records: Records, inspected: tuple[int, ...], reception: Make, verdict: Judge
) -> None:
    """The first series opens again, and both series have two studies."""
    assert inspected
    assert snapshot_of(records).studies == 1
    settled(records)
    assert due(records, 5, 3600) == []
    other = reception(study_instance_uid="1.2.3.200", seconds_ago=10)
    [second] = register(records, [other]).new_ids
    assert due(records, 5, 3600) == ["idle"]
    store_verdicts(records, [(second, verdict())])
    assert due(records, 5, 3600) == ["idle", "idle"]
    assert snapshot_of(records).studies == 2
    later = series_snapshot(records, 2, "vb-1")
    assert later is not None
    assert later.studies == 2


def met(records: Records, make: Make, judge: Judge, *studies: str) -> None:
    """Receive and inspect one instance of the same Series UID in each study."""
    new = [make(study_instance_uid=study, seconds_ago=10) for study in studies]
    ids = register(records, new).new_ids
    store_verdicts(records, [(id_, judge()) for id_ in ids])


def settle_all(records: Records) -> list[tuple[int, int]]:
    """Settle what is due; return id and number of studies of each."""
    settled_series = []
    for due_one in due_series(records, 5, 3600):
        snapshot = series_snapshot(records, due_one.series_id, "vb-1")
        assert snapshot is not None
        settle(records, snapshot, judgement(), "vb-1", SettleReason.IDLE)
        settled_series.append((snapshot.series_id, snapshot.studies))
    return settled_series


def test_only_the_first_namesake_is_judged_anew(
    records: Records, reception: Make, verdict: Judge
) -> None:
    """A device that always writes one Series UID opens one series at a time."""
    met(records, reception, verdict, "1.2.1")
    assert settle_all(records) == [(1, 1)]
    met(records, reception, verdict, "1.2.2")
    assert sorted(settle_all(records)) == [(1, 2), (2, 2)]
    met(records, reception, verdict, "1.2.3")
    assert settle_all(records) == [(3, 3)]


def test_the_first_namesake_is_judged_anew_for_several_at_once(
    records: Records, reception: Make, verdict: Judge
) -> None:
    """Two studies in one batch open the series that had settled alone."""
    met(records, reception, verdict, "1.2.1")
    settle_all(records)
    met(records, reception, verdict, "1.2.2", "1.2.3")
    assert sorted(settle_all(records)) == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.usefixtures("inspected")
def test_a_namesake_that_comes_while_judging_keeps_the_series_open(
    records: Records, reception: Make
) -> None:
    """The first series then gets the finding of the second study."""
    before = snapshot_of(records)
    register(records, [reception(study_instance_uid="1.2.3.200", seconds_ago=9)])
    settle(records, before, judgement(), "vb-1", SettleReason.IDLE)
    assert system_counts(records).series_settled == 0
    assert settle_all(records) == [(1, 2)]
    assert system_counts(records).series_settled == 1


@contextmanager
def arriving(records: Records, query: int, late: StoredInstance) -> Iterator[None]:
    """Register an instance before the n-th query from here on."""
    queries = count(1)

    def watch(*_: object) -> None:
        if next(queries) == query:
            register(records, [late])

    event.listen(records.engine, "before_cursor_execute", watch)
    try:
        yield
    finally:
        event.remove(records.engine, "before_cursor_execute", watch)


def close_all(records: Records) -> None:
    """Mark every series as settled."""
    with records.begin() as connection:
        connection.execute(update(series).values(settled_at=datetime.now(UTC)))


@pytest.mark.parametrize("namesake", [False, True])
def test_what_comes_while_the_snapshot_is_taken_is_seen_or_makes_it_old(
    records: Records, reception: Make, verdict: Judge, namesake: bool
) -> None:
    """An instance or series that arrives before any of its queries is not missed."""
    for query in range(1, 12):
        uid, study = f"1.2.9.{query}", f"1.2.8.{query}"
        first = reception(series_instance_uid=uid, study_instance_uid=study)
        [id_] = register(records, [first]).new_ids
        store_verdicts(records, [(id_, verdict())])
        other = f"1.2.7.{query}" if namesake else study
        late = reception(series_instance_uid=uid, study_instance_uid=other)
        [series_id] = [d.series_id for d in due_series(records, 0, 0)]
        with arriving(records, query, late):
            snapshot = series_snapshot(records, series_id, "vb-1")
        assert snapshot is not None
        register(records, [late])
        settle(records, snapshot, judgement(), "vb-1", SettleReason.IDLE)
        seen = snapshot.studies == 2 if namesake else snapshot.instances == 2
        open_again = [d.series_id for d in due_series(records, 900, 0)]
        assert seen or series_id in open_again
        close_all(records)
