"""Attempts, verdicts and dead letters."""

from collections.abc import Callable

from veritag.dicom.identity import Identity
from veritag.findings import Verdict, VerdictStatus
from veritag.records import Records
from veritag.records.inspection.attempts import (
    abandon_attempt,
    begin_attempt,
    pending_instances,
)
from veritag.records.inspection.dead_letters import add_dead_letter, dead_letters
from veritag.records.inspection.verdicts import store_verdicts
from veritag.records.reception.dispatching import stale_instances
from veritag.records.reception.registration import register
from veritag.records.review.study import study_detail
from veritag.records.status import system_counts
from veritag.storage.stored_instance import StoredInstance

Make = Callable[..., StoredInstance]
Judge = Callable[..., Verdict]


def test_a_verdict_ends_the_waiting(
    records: Records, reception: Make, verdict: Judge
) -> None:
    """An inspected instance is neither pending nor in the backlog."""
    one, two = register(records, [reception(), reception()]).new_ids
    store_verdicts(records, [(one, verdict())])
    assert [p.instance_id for p in pending_instances(records, [one, two])] == [two]
    assert (system_counts(records).inspected, system_counts(records).backlog) == (1, 1)


def test_a_repeated_verdict_replaces_itself(
    records: Records, reception: Make, verdict: Judge
) -> None:
    """At-least-once delivery leaves one verdict per instance and bundle."""
    (one,) = register(records, [reception()]).new_ids
    for novelty in (0.1, 0.9):
        store_verdicts(records, [(one, verdict(novelty=novelty))])
    assert system_counts(records).inspected == 1


def test_not_a_number_and_nul_in_tags_are_stored_without_harm(
    records: Records, reception: Make, verdict: Judge
) -> None:
    """Any value of a file fits into the JSON columns of every database."""
    (one,) = register(records, [reception()]).new_ids
    tags = {"Exposure": float("nan"), "Manufacturer": "A\x00B\ud800"}
    store_verdicts(records, [(one, verdict(tags=tags))])
    assert system_counts(records).inspected == 1


def test_attempts_are_counted_before_anything_is_touched(
    records: Records, reception: Make
) -> None:
    """A begun attempt stays counted although the process ended."""
    ids = register(records, [reception(), reception()]).new_ids
    begin_attempt(records, ids, "worker-1")
    begin_attempt(records, ids[:1], "worker-1")
    abandon_attempt(records, ids[:1], "the worker ended")
    assert [p.attempts for p in pending_instances(records, ids)] == [2, 1]


def test_a_claimed_instance_is_not_stale(records: Records, reception: Make) -> None:
    """An instance whose inspection just began is not stale."""
    ids = register(records, [reception()]).new_ids
    begin_attempt(records, ids, "worker-1")
    assert stale_instances(records, older_than_seconds=30) == []


def test_a_dead_letter_keeps_its_reason_and_leaves_the_backlog(
    records: Records, reception: Make
) -> None:
    """It is listed with reason, attempts and sender."""
    (one,) = register(records, [reception()]).new_ids
    begin_attempt(records, [one], "worker-1")
    for _ in range(2):
        add_dead_letter(records, one, "the worker process ended 3 times")
    (row,) = dead_letters(records)
    assert (row.attempts, row.calling_ae_title) == (1, "SCANNER1")
    assert row.reason == "the worker process ended 3 times"
    assert system_counts(records).backlog == 0


def test_study_and_series_are_known_by_what_the_data_sets_say(
    records: Records, reception: Make, verdict: Judge
) -> None:
    """The identity that the worker reads appears on study and series."""
    (one,) = register(records, [reception()]).new_ids
    identity = Identity(patient_id="P1", modality="CT", series_description="Thorax")
    store_verdicts(records, [(one, verdict())], {one: identity})
    study = study_detail(records, "1.2.3.100")
    assert study is not None
    assert study.patient_id == "P1"
    assert study.series[0].series_description == "Thorax"


def test_an_instance_without_pixels_has_a_verdict_without_a_cluster(
    records: Records, reception: Make
) -> None:
    """A report ends as inspected, with status and reason."""
    (one,) = register(records, [reception()]).new_ids
    empty = Verdict("vb-1", VerdictStatus.NO_PIXELS, "1.2", reason="no pixel data")
    store_verdicts(records, [(one, empty)])
    assert system_counts(records).inspected == 1
