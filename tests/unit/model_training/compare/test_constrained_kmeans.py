"""k-means with constraints on points that can be worked by hand."""

import numpy as np
import pytest

from model_training.compare.methods.constrained_kmeans import (
    cop_kmeans,
    pc_kmeans,
    violations,
)
from model_training.constraints.closure import must_link_components

# Two groups on a line: 0, 1 and 10, 11.
LINE = np.array([[0.0], [1.0], [10.0], [11.0]])
NONE = np.empty((0, 2), dtype=np.int64)


def _pairs(*pairs: tuple[int, int]) -> np.ndarray:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _partition(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == k).tolist()) for k in np.unique(labels)}


def test_must_links_join_transitively() -> None:
    """0-1 and 1-3 make one group of three; 2 stands alone."""
    group = must_link_components(_pairs((0, 1), (1, 3)), 4)
    assert _partition(group) == {frozenset({0, 1, 3}), frozenset({2})}


def test_cop_without_constraints_is_k_means() -> None:
    """The two groups of points are found, with their means as centers."""
    result = cop_kmeans(LINE, NONE, NONE, 2)
    assert _partition(result.labels) == {frozenset({0, 1}), frozenset({2, 3})}
    assert sorted(result.centers.ravel()) == pytest.approx([0.5, 10.5])


@pytest.mark.parametrize("seed", range(5))
def test_cop_keeps_what_is_linked_together(seed: int) -> None:
    """A must-link of 1 and 10 puts both into one cluster, whatever the seed."""
    result = cop_kmeans(LINE, _pairs((1, 2)), NONE, 2, seed=seed)
    assert result.labels[1] == result.labels[2]
    assert result.violated == result.relaxed == 0


@pytest.mark.parametrize("seed", range(5))
def test_cop_keeps_apart_what_must_not_meet(seed: int) -> None:
    """Neighbors with a cannot-link are in two clusters, however close they are."""
    result = cop_kmeans(LINE, NONE, _pairs((0, 1), (2, 3)), 2, seed=seed)
    assert result.labels[0] != result.labels[1]
    assert result.labels[2] != result.labels[3]
    assert result.violated == 0


def test_cop_counts_relaxed_groups() -> None:
    """Three points with cannot-links to one another need three clusters: one is relaxed."""
    pairs = _pairs((0, 1), (1, 2), (0, 2))
    result = cop_kmeans(LINE, NONE, pairs, 2)
    assert result.relaxed == 1
    assert result.violated == 1


def test_cop_drops_a_cannot_link_within_a_group() -> None:
    """With must-links 0-1-2 and cannot-link 0-2, the group stays and one is broken."""
    result = cop_kmeans(LINE, _pairs((0, 1), (1, 2)), _pairs((0, 2)), 2)
    assert len({int(k) for k in result.labels[:3]}) == 1
    assert result.violated == 1


def test_pc_pays_for_a_constraint_only_what_it_costs() -> None:
    """A must-link of 1 and 10 is broken at a penalty of 1, and kept at one of 1000."""
    cheap = pc_kmeans(LINE, _pairs((1, 2)), NONE, 2, weight=1.0, seed=1)
    costly = pc_kmeans(LINE, _pairs((1, 2)), NONE, 2, weight=1000.0, seed=1)
    assert _partition(cheap.labels) == {frozenset({0, 1}), frozenset({2, 3})}
    assert cheap.violated == 1
    assert costly.labels[1] == costly.labels[2]
    assert costly.violated == 0


def test_pc_separates_at_a_high_cost() -> None:
    """With a costly cannot-link 0 and 1 are in two clusters."""
    result = pc_kmeans(LINE, NONE, _pairs((0, 1)), 2, weight=1000.0)
    assert result.labels[0] != result.labels[1]


def test_pc_starts_from_linked_groups() -> None:
    """Three groups of points with one linked pair each are found from any seed."""
    groups = np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], 10, axis=0)
    groups += np.random.default_rng(1).normal(0, 0.5, groups.shape)
    links = _pairs((0, 1), (10, 11), (20, 21))
    for seed in range(5):
        labels = pc_kmeans(groups, links, NONE, 3, seed=seed).labels
        assert len(_partition(labels)) == 3
        assert all(len(set(labels[s : s + 10].tolist())) == 1 for s in (0, 10, 20))


def test_violations_are_counted_by_kind() -> None:
    """One broken must-link and one broken cannot-link make two."""
    labels = np.array([0, 1, 1, 1])
    assert violations(labels, _pairs((0, 1), (1, 2)), _pairs((2, 3), (0, 3))) == 2


def test_many_constraints_keep_every_image_in_a_cluster() -> None:
    """With 300 random constraints labels are in range and centers finite."""
    rng = np.random.default_rng(3)
    points = rng.normal(size=(120, 5))
    pairs = rng.integers(0, 120, size=(300, 2))
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    for method in (cop_kmeans, pc_kmeans):
        result = method(points, pairs[:40], pairs[40:], 6)
        assert set(np.unique(result.labels)) <= set(range(6))
        assert np.isfinite(result.centers).all()
