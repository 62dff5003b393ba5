"""The split into training, calibration, unseen and new stations."""

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model_training.snapshots.image_sources import image_entries
from model_training.snapshots.phantom_snapshot import phantom_snapshot
from model_training.snapshots.samples import Sample
from model_training.snapshots.snapshot import join_snapshots, take_snapshot
from model_training.snapshots.split import (
    MOST_HELD_OUT,
    Split,
    split_patients,
    split_samples,
)
from veritag.pixels.preprocessing import Preprocessing

PRE = Preprocessing(size=32)


def image(
    patient: int, station: str, modality: str = "CT", *, is_dicom: bool = True
) -> Sample:
    """Return a sample."""
    tags = {"Modality": modality, "BodyPartExamined": "HEAD"}
    return Sample(tags, f"p{patient}", "s", is_dicom=is_dicom, station=station)


IMAGES = st.lists(
    st.builds(
        image,
        st.integers(0, 30),
        st.sampled_from("abcdef"),
        st.sampled_from(["CT", "MR", "CR"]),
        is_dicom=st.booleans(),
    ),
    max_size=60,
)


def inside(samples: list[Sample], mask: np.ndarray) -> list[Sample]:
    """Return the samples of a part."""
    return [s for s, chosen in zip(samples, mask, strict=True) if chosen]


def parts(split: Split) -> tuple[np.ndarray, ...]:
    """Return all masks."""
    return split.training, split.calibration, split.unseen, split.new_stations


@settings(max_examples=200, deadline=None)
@given(IMAGES, st.integers(0, 5))
def test_every_image_is_in_one_part_and_no_patient_leaks(
    samples: list[Sample], seed: int
) -> None:
    """A training or unseen patient is in no other part; held-out stations do not train."""
    split = split_samples(samples, seed)
    assert all(len(part) == len(samples) for part in parts(split))
    np.testing.assert_array_equal(sum(p.astype(int) for p in parts(split)), 1)
    training, calibration, unseen, new = (
        {s.patient for s in inside(samples, part)} for part in parts(split)
    )
    assert not training & (calibration | unseen | new)
    assert not unseen & (calibration | new)
    held_out = {s.station for s in inside(samples, split.new_stations)}
    real = [s for s in samples if s.is_dicom]
    trained = {s.station for s in inside(samples, split.training) if s.is_dicom}
    assert not trained & held_out
    gone = [s for s in real if s.station in held_out]
    assert len(gone) <= MOST_HELD_OUT * len(real)
    assert {s.tags["Modality"] for s in real} == {
        s.tags["Modality"] for s in real if s.station not in held_out
    }


@settings(max_examples=50, deadline=None)
@given(IMAGES, IMAGES, st.integers(0, 5))
def test_a_part_depends_on_key_and_seed_alone(
    samples: list[Sample], more: list[Sample], seed: int
) -> None:
    """Unseen patients stay unseen when images are added, in any order."""
    alone = split_samples(samples, seed)
    together = split_samples([*more, *samples], seed)
    tail = together.unseen[len(more) :]
    assert not (alone.unseen & ~tail).any()


def test_a_third_of_the_stations_is_held_out() -> None:
    """Of nine stations three do not train; with a share of 0, all do."""
    samples = [image(n, f"station {n % 9}") for n in range(900)]
    split = split_samples(samples, 1)
    assert len({s.station for s in inside(samples, split.new_stations)}) == 3
    assert len({s.station for s in inside(samples, split.training)}) == 6
    everyone = split_samples(samples, 1, held_out_stations=0)
    assert not everyone.new_stations.any()
    assert len({s.station for s in inside(samples, everyone.training)}) == 9


def test_the_only_scanner_of_a_modality_is_never_held_out() -> None:
    """The only station of a modality always trains."""
    samples = [image(n, "mr", "MR") for n in range(50)]
    samples += [image(100 + n, f"ct {n % 4}") for n in range(200)]
    for seed in range(10):
        split = split_samples(samples, seed)
        assert split.new_stations.any()
        assert "mr" not in {s.station for s in inside(samples, split.new_stations)}


def test_two_stations_are_too_few_to_hold_one_out() -> None:
    """With fewer than three stations all of them train."""
    samples = [image(n, "ab"[n % 2]) for n in range(100)]
    assert not split_samples(samples, 1).new_stations.any()


def test_a_patient_of_a_held_out_station_does_not_train_elsewhere() -> None:
    """Images of other stations of such a patient go to calibration."""
    samples = [image(n // 2, f"station {n % 6}") for n in range(600)]
    split = split_samples(samples, 1)
    patients = {s.patient for s in inside(samples, split.new_stations)}
    elsewhere = {s.patient for s in inside(samples, split.calibration)}
    assert patients & elsewhere


def test_phantoms_and_very_rare_kinds_only_train(phantom_folder: Path) -> None:
    """Phantoms and kinds of fewer than four patients are in the training part."""
    files = take_snapshot(list(image_entries(phantom_folder)), PRE)
    drawn = phantom_snapshot(1, PRE)
    split = split_patients(join_snapshots([files, drawn]), seed=1)
    assert split.training[-len(drawn) :].all()
    assert split.unseen.any()
    assert split.calibration.any()
    rare = [image(n, "one") for n in range(3)]
    for seed in range(20):
        assert split_samples(rare, seed).training.all()
