"""Ids of clusters over retrains, and their names."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_training.bundles.cluster_ids import (
    cluster_names,
    description,
    matched_ids,
    next_cluster_id,
    overlaps,
    with_identity,
)
from veritag.bundles.bundle import load_bundle, starter_bundle_path
from veritag.bundles.manifest import ClusterProfile
from veritag.judging.tag_probabilities import Floats


def q_of(labels: list[int], k: int) -> Floats:
    """Return soft assignments that lean to these labels."""
    q = np.full((len(labels), k), 0.1)
    q[np.arange(len(labels)), labels] = 0.9
    normalized: Floats = q / q.sum(axis=1, keepdims=True)
    return normalized


def cluster(
    cluster_id: int, planes: dict[str, float] | None = None, **tags: dict[str, float]
) -> ClusterProfile:
    """Return a cluster with ten images and these shares."""
    profiles = {
        "Modality": tags.get("modality", {}),
        "BodyPartExamined": tags.get("region", {}),
        "ImageOrientationPatient": planes or {},
    }
    support = {tag: 10.0 for tag, shares in profiles.items() if shares}
    return ClusterProfile(cluster_id, {t: s for t, s in profiles.items() if s}, support)


def test_clusters_that_swap_places_keep_their_ids() -> None:
    """The same images under another index have the same public id."""
    old, new = q_of([0, 0, 0, 1, 1, 2, 2], 3), q_of([2, 2, 2, 0, 0, 1, 1], 3)
    assert matched_ids(old, new, (10, 11, 12), 13) == (11, 12, 10)


def test_a_new_cluster_gets_an_id_that_was_never_used() -> None:
    """The larger half of a split cluster is its successor, the smaller one is new."""
    old, new = q_of([0] * 10 + [1] * 5, 2), q_of([0] * 7 + [2] * 3 + [1] * 5, 3)
    assert matched_ids(old, new, (4, 9), 30) == (4, 9, 30)


def test_clusters_without_common_images_are_all_new() -> None:
    """A small overlap makes no successor: its id would get another meaning."""
    old, new = q_of([0] * 9 + [1], 2), q_of(list(range(10)), 10)
    assert matched_ids(old, new, (0, 1), 2)[:9] == tuple(range(2, 11))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.permutations(range(6)))
def test_ids_are_always_distinct_and_stable(
    labels: list[int], order: list[int]
) -> None:
    """Whatever the labels, ids are unique, and renamed clusters with images keep theirs."""
    old = q_of(labels, 6)
    new = old[:, order]
    ids = matched_ids(old, new, tuple(range(100, 106)), 106)
    assert len(set(ids)) == 6
    for position, source in enumerate(order):
        if source in labels:
            assert ids[position] == 100 + source


def test_overlap_by_hand() -> None:
    """Three common images of four and five make 3 / 6."""
    old, new = q_of([0, 0, 0, 0, 1, 1], 2), q_of([0, 0, 0, 1, 0, 0], 2)
    np.testing.assert_allclose(overlaps(old, new), [[3 / 6, 1 / 4], [2 / 5, 0]])


def test_the_next_id_counts_clusters_that_are_gone() -> None:
    """An id that an earlier bundle used is never given to another cluster."""
    manifest = load_bundle(starter_bundle_path()).manifest
    highest = max(c.cluster_id for c in manifest.clusters)
    plain = replace(manifest, lineage={})
    assert next_cluster_id(plain) == highest + 1
    assert next_cluster_id(replace(plain, lineage={"next_cluster_id": 999})) == 999


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (
            cluster(
                0, {"SAGITTAL": 0.9, "AXIAL": 0.1}, modality={"MR": 0.97, "CT": 0.03},
                region={"HEAD": 0.9, "NECK": 0.1},
            ),
            "MR head sagittal",
        ),
        (cluster(0, modality={"CR": 1.0}, region={"CHEST": 0.8}), "CR chest"),
        (
            cluster(
                0, {"AXIAL": 0.5, "CORONAL": 0.5}, modality={"CT": 0.9},
                region={"PELVIS": 0.4, "ABDOMEN": 0.55},
            ),
            "mixed CT abdomen/pelvis",
        ),
        (cluster(0, modality={"US": 1.0}), "US"),
        (cluster(0), "unnamed"),
    ],
)  # fmt: skip
def test_a_cluster_is_called_by_its_tags(shown: ClusterProfile, expected: str) -> None:
    """Modality, body part and plane, where nearly all images agree."""
    assert description(shown) == expected


def test_clusters_of_one_kind_are_numbered() -> None:
    """No two clusters have the same name."""
    same = {"modality": {"CR": 1.0}, "region": {"CHEST": 1.0}}
    names = cluster_names([cluster(7, **same), cluster(3, **same), cluster(5)])
    assert names == {3: "CR chest 1", 7: "CR chest 2", 5: "unnamed"}
    named = with_identity([cluster(0, **same), cluster(1, **same)], (8, 2))
    assert [(c.cluster_id, c.name) for c in named] == [
        (8, "CR chest 2"),
        (2, "CR chest 1"),
    ]
