"""Images of the flagging benchmark: split, injected errors, series, kinds left out."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.flagging.images import (
    NEW_STATIONS,
    TAGS,
    BenchmarkImages,
    read_images,
    rounds,
    thinned,
)
from benchmarks.flagging.left_out import (
    area_under_curve,
    figures,
    images_of,
    images_without,
    limit_training,
)
from benchmarks.flagging.series import composed_series, real_series
from model_training.snapshots.image_sources import ImageEntry
from model_training.snapshots.samples import Sample
from model_training.snapshots.snapshot import assemble_snapshot
from model_training.snapshots.split import split_patients
from veritag.errors import StopError
from veritag.pixels.preprocessing import Preprocessing

KINDS = (("CT", "HEAD"), ("CR", "HAND"), ("MG", "BREAST"), ("US", "ABDOMEN"))


@pytest.fixture(scope="module")
def images() -> BenchmarkImages:
    """Return blank images of 240 patients, six images of every tenth patient."""
    samples = [
        Sample(
            {"Modality": modality, "BodyPartExamined": region},
            patient=f"{region}-{patient}",
            source="here" if patient % 2 else "there",
            station=f"{modality}-{patient % 5}",
        )
        for modality, region in KINDS
        for patient in range(60)
        for _ in range(6 if patient % 10 == 0 else 1)
    ]
    tiles = np.zeros((len(samples), 8, 8), dtype=np.uint8)
    preprocessing = Preprocessing(size=8)
    snapshot = assemble_snapshot(zip(tiles, samples, strict=True), preprocessing)
    paths = tuple(Path(str(n)) for n in range(len(samples)))
    return BenchmarkImages(snapshot, split_patients(snapshot, 1), paths)


def test_measured_are_the_unseen_then_the_new_stations(images: BenchmarkImages) -> None:
    """Each measured image is in one of both parts and not in training."""
    split = images.split
    assert len(images.measured) == split.unseen.sum() + split.new_stations.sum()
    assert images.unseen.sum() == split.unseen.sum() > 0
    assert not (split.training | split.calibration)[images.measured].any()
    patients = {s.patient for s in images.samples}
    training = images.snapshot.part(split.training).samples
    assert not patients & {s.patient for s in training}


def test_parts_hold_unseen_patients_but_for_new_stations(
    images: BenchmarkImages,
) -> None:
    """Modalities, regions, sources and kinds are each a partition of the unseen images."""
    parts = images.parts()
    assert not (parts[NEW_STATIONS] & images.unseen).any()
    for group in ("modality", "region", "source", "kind"):
        masks = [m for name, m in parts.items() if name.startswith(group)]
        assert np.array_equal(np.sum(masks, axis=0), images.unseen.astype(int))


def test_poison_changes_tags_and_nothing_else(images: BenchmarkImages) -> None:
    """About the requested share is wrong; tiles and patients do not change."""
    few, many = (images.poisoned(share) for share in (0.1, 0.3))
    for tag in TAGS:
        right = images.snapshot.values(tag)
        wrong = few.values(tag) != right
        assert 0.05 < wrong.mean() < 0.15
        assert (many.values(tag) != right)[wrong].all()
    assert few.tiles is images.snapshot.tiles
    assert [s.patient for s in few.samples] == [
        s.patient for s in images.snapshot.samples
    ]


def test_errors_are_the_same_for_the_same_seed(images: BenchmarkImages) -> None:
    """A seed gives the same received values, another seed others."""
    first, second, other = (images.errors("uniform", 0.2, seed) for seed in (3, 3, 4))
    for tag in TAGS:
        assert np.array_equal(first.received[tag], second.received[tag])
        assert not np.array_equal(first.received[tag], other.received[tag])
        wrong = first.wrong[tag]
        assert np.array_equal(first.received[tag] != images.right(tag), wrong)
        assert wrong[images.unseen].sum() == round(0.2 * images.unseen.sum())


def test_rare_errors_are_injected_more_often() -> None:
    """There are four to twenty rounds."""
    assert [rounds(rate) for rate in (0.01, 0.05, 0.1, 0.5)] == [20, 8, 4, 4]


def test_a_limit_is_of_each_source_and_kind() -> None:
    """The limit applies to each source and kind; 0 means all."""
    entries = [
        ImageEntry(Path(str(n)), source, {"Modality": "CT"})
        for source in ("a", "b")
        for n in range(5)
    ]
    assert len(thinned(entries, 2)) == 4
    assert len(thinned(entries, 0)) == 10


def test_too_few_images_are_an_error(corpus: Path) -> None:
    """Images of one patient leave no unseen patients."""
    one = next((corpus / "FNNDSC__SAG-anon").iterdir())
    with pytest.raises(StopError, match="unseen patients"):
        read_images([one], 32)


def test_series_are_of_one_patient_and_at_least_five_images(
    images: BenchmarkImages,
) -> None:
    """Patients with six images are series; single images are composed to series of six."""
    real = real_series(images, images.unseen)
    assert real
    for series in real:
        assert len(series.rows) == 6
        assert len({images.samples[row].patient for row in series.rows}) == 1
    used = {row for series in real for row in series.rows}
    free = images.unseen.copy()
    free[list(used)] = False
    composed = composed_series(images, free)
    rows = [row for series in composed for row in series.rows]
    assert len(set(rows)) == len(rows)
    assert not used & set(rows)
    for series in composed:
        assert (
            len(
                {
                    (images.samples[r].source, images.samples[r].kind)
                    for r in series.rows
                }
            )
            == 1
        )


@pytest.mark.parametrize("kind", ["CR HAND", "MG BREAST"])
def test_leaving_out_a_kind_does_not_change_the_split(
    images: BenchmarkImages, kind: str
) -> None:
    """All images of the kind are left out; the others stay in their part."""
    without, left_out = images_without(images, kind), images_of(images, kind)
    assert len(without.paths) + len(left_out.paths) == len(images.paths)
    assert kind not in {s.kind for s in without.snapshot.samples}
    assert {s.kind for s in left_out.samples} == {kind}
    assert len(left_out.samples) == len(left_out.paths)
    before: dict[Path, bool] = dict(zip(images.paths, images.split.unseen, strict=True))
    assert [before[p] for p in without.paths] == without.split.unseen.tolist()


def test_a_smaller_training_leaves_the_measured_images_alone(
    images: BenchmarkImages,
) -> None:
    """At most five of a source and kind train; other parts do not change."""
    fewer = limit_training(images, 5)
    training = fewer.snapshot.part(fewer.split.training).samples
    assert set(Counter((s.source, s.kind) for s in training).values()) == {5}
    assert [s.patient for s in fewer.samples] == [s.patient for s in images.samples]
    assert fewer.split.calibration.sum() == images.split.calibration.sum()
    assert len(limit_training(images, 0).paths) == len(images.paths)


def test_unknown_images_are_counted_at_the_limit_and_at_two_percent() -> None:
    """At 2 % one of fifty known images is unknown, and both left-out ones are."""
    known = np.append(np.linspace(0.1, 0.8, 49), 3.0)
    shares = figures(known, np.array([0.9, 2.0]))
    assert shares["unknown_among_known"] == 0.02
    assert shares["unknown_among_left_out"] == 0.5
    assert shares["left_out_at_2_percent"] == 1.0
    assert shares["area_under_curve"] == pytest.approx(0.98)


@pytest.mark.parametrize(
    ("known", "left_out", "expected"),
    [([1, 2], [3, 4], 1.0), ([1, 2], [2], 0.75), ([3, 4], [1], 0.0)],
)
def test_the_area_is_the_share_of_pairs_in_order(
    known: list[float], left_out: list[float], expected: float
) -> None:
    """Pairs with the more novel left-out image count 1, ties 0.5."""
    assert area_under_curve(np.array(known), np.array(left_out)) == pytest.approx(
        expected
    )
