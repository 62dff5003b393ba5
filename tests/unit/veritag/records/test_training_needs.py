"""The figures that decide whether a training is due."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from veritag.bundles.bundle import ModelBundle, load_bundle, starter_bundle_path
from veritag.findings import Verdict
from veritag.records import Records
from veritag.records.inspection.bundles import register_bundle
from veritag.records.inspection.verdicts import store_verdicts
from veritag.records.reception.registration import register
from veritag.records.states import RunTrigger
from veritag.records.training.needs import recent_occupancy, training_needs
from veritag.records.training.runs import begin_run, fail_run, finish_run
from veritag.storage.stored_instance import StoredInstance

Make = Callable[..., StoredInstance]
Judge = Callable[..., Verdict]


def judged(
    records: Records, reception: Make, verdicts: list[Verdict], series: str = "1.2.3.1"
) -> None:
    """Record one instance of a series for each verdict."""
    received = [reception(series_instance_uid=series) for _ in verdicts]
    ids = register(records, received).new_ids
    store_verdicts(records, list(zip(ids, verdicts, strict=True)))


def bundle_with(occupancy: object) -> ModelBundle:
    """Return a bundle with the occupancy of its training images."""
    bundle = load_bundle(starter_bundle_path())
    manifest = replace(bundle.manifest, training={"occupancy": occupancy})
    return ModelBundle("vb-1", Path("/made-up"), manifest)


def test_each_series_counts_once_in_the_occupancy(
    records: Records, reception: Make, verdict: Judge
) -> None:
    """A CT of hundreds of slices counts as much as a radiograph."""
    assert recent_occupancy(records) is None
    register_bundle(records, bundle_with({"clusters": {"3": 1.0}, "unknown": 0.05}))
    made = [verdict("vb-1", cluster=c) for c in (3, 3, 3, 7)]
    judged(records, reception, made)
    judged(records, reception, [verdict("vb-1", cluster=7, novelty=1.5)], "1.2.3.2")
    seen = recent_occupancy(records)
    assert seen is not None
    assert seen.clusters == {"3": pytest.approx(0.375), "7": pytest.approx(0.625)}
    assert seen.images == 5
    assert seen.unknown == pytest.approx(0.2)
    assert (seen.trained_clusters, seen.trained_unknown) == ({"3": 1.0}, 0.05)


def test_only_verdicts_of_the_newest_bundle_count(
    records: Records, reception: Make, verdict: Judge
) -> None:
    """Verdicts of other bundles are left out: their cluster ids mean something else."""
    judged(records, reception, [verdict("vb-old", cluster=1)] * 3)
    judged(records, reception, [verdict("vb-new", cluster=2)], "1.2.3.2")
    seen = recent_occupancy(records)
    assert seen is not None
    assert (seen.bundle_id, seen.clusters) == ("vb-new", {"2": 1.0})
    assert seen.trained_clusters is None


def test_what_is_new_is_counted_from_the_last_finished_run(
    records: Records, reception: Make, verdict: Judge
) -> None:
    """A failed run does not reset the needs; failures count until a run succeeds."""
    judged(records, reception, [verdict()] * 2)
    assert training_needs(records).new_instances == 2
    fail_run(
        records, begin_run(records, {}, trigger=RunTrigger.TIME), "the disk is full"
    )
    fail_run(
        records, begin_run(records, {}, trigger=RunTrigger.HAND), "the disk is full"
    )
    needs = training_needs(records)
    assert (needs.instances, needs.new_instances, needs.failures) == (2, 2, 2)
    assert needs.last_success_at is None
    assert needs.last_run_at is not None
    finish_run(
        records, begin_run(records, {}, trigger=RunTrigger.TIME), "vb-2", "digest", {}
    )
    judged(records, reception, [verdict()], "1.2.3.2")
    needs = training_needs(records)
    assert (needs.instances, needs.new_instances, needs.failures) == (3, 1, 0)
    assert needs.last_success_at == needs.last_run_at


@pytest.mark.parametrize(
    "occupancy", [None, [], "x", {"clusters": 3}, {"clusters": {"1": "many"}}]
)
def test_a_bundle_that_tells_nonsense_has_no_drift(
    records: Records, reception: Make, verdict: Judge, occupancy: object
) -> None:
    """Malformed figures of a bundle count as none."""
    register_bundle(records, bundle_with(occupancy))
    judged(records, reception, [verdict("vb-1")])
    seen = recent_occupancy(records)
    assert seen is not None
    assert (seen.trained_clusters, seen.trained_unknown) == (None, None)
