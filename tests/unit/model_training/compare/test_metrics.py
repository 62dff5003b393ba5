"""Figures of clusters against the truth, on cases worked by hand."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from model_training.compare.images.labelled_images import (
    LabelledImages,
    list_labelled,
    read_labelled,
)
from model_training.compare.methods import clustpy_methods
from model_training.compare.methods.hand_made_features import (
    fit_pca,
    hog_features,
    lbp_features,
)
from model_training.compare.metrics import (
    agreement,
    clustering_accuracy,
    figures_of,
    intervals,
    kinds_of_cluster,
    silhouette,
)
from veritag.pixels.preprocessing import Preprocessing

TRUTH = np.array(["a", "a", "b", "b"])


@pytest.fixture(scope="module")
def data(labelled_folder: Path) -> LabelledImages:
    """Return drawn pictures of four kinds."""
    return read_labelled(list_labelled(labelled_folder), Preprocessing(size=32))


def test_a_perfect_clustering_has_ones() -> None:
    """The numbers of the clusters do not matter."""
    figures = agreement(np.array([1, 1, 0, 0]), TRUTH)
    assert figures == pytest.approx({"nmi": 1, "hs": 1, "ari": 1, "acc": 1})


def test_a_finer_clustering_is_homogeneous_and_shares_less() -> None:
    """Four clusters for two kinds: H(kind) = ln 2, H(cluster) = ln 4, NMI = 2/3."""
    figures = agreement(np.array([0, 1, 2, 3]), TRUTH)
    assert figures["hs"] == pytest.approx(1)
    assert figures["nmi"] == pytest.approx(2 / 3)
    assert figures["acc"] == pytest.approx(0.5)


def test_one_cluster_tells_nothing() -> None:
    """One cluster has no information; half of the images are right by chance."""
    figures = agreement(np.zeros(4, dtype=np.int64), TRUTH)
    assert figures == pytest.approx({"nmi": 0, "hs": 0, "ari": 0, "acc": 0.5})


def test_accuracy_matches_clusters_to_kinds_one_to_one() -> None:
    """Majority votes give 5 of 6, one-to-one matching (0: a, 2: b) gives 3."""
    truth = np.array(["a", "a", "a", "a", "b", "b"])
    labels = np.array([0, 0, 1, 1, 2, 0])
    assert clustering_accuracy(labels, truth) == pytest.approx(3 / 6)


def test_silhouette_is_told_only_where_it_is_defined() -> None:
    """Two dense groups are close to 1; a single cluster has none."""
    points = np.array([[0.0], [0.1], [9.0], [9.1]])
    assert silhouette(points, np.array([0, 0, 1, 1])) == pytest.approx(0.989, abs=0.001)
    assert silhouette(points, np.zeros(4, dtype=np.int64)) is None


def test_figures_are_of_the_chosen_images_alone(data: LabelledImages) -> None:
    """Labels right on one half and constant on the other give NMI 1 and 0."""
    _, right = np.unique(data.region, return_inverse=True)
    half = np.arange(len(data)) % 2 == 0
    labels = np.where(half, right, 0)
    points = np.random.default_rng(1).normal(size=(len(data), 3))
    assert figures_of(labels, points, data, half)["nmi_region"] == 1.0
    other = figures_of(labels, points, data, ~half)
    assert other["nmi_region"] == 0.0
    assert other["silhouette"] is None
    assert other["clusters"] == 1


def test_intervals_hold_the_figure_and_come_again(data: LabelledImages) -> None:
    """Noisy labels: the figure lies within its interval, the same for the same seed."""
    rng = np.random.default_rng(5)
    _, labels = np.unique(data.region, return_inverse=True)
    labels = np.where(rng.random(len(data)) < 0.2, 0, labels)
    low, high = intervals(labels, data)["nmi_region"]
    assert low < normalized_mutual_info_score(data.region, labels) < high
    assert intervals(labels, data) == intervals(labels, data)


def test_the_mix_of_a_cluster_names_the_most_frequent_first(
    data: LabelledImages,
) -> None:
    """A cluster of all radiographs and one CT shows the radiographs first."""
    labels = (data.modality == "CR").astype(np.int64)
    labels[np.flatnonzero(data.modality == "CT")[0]] = 1
    assert list(kinds_of_cluster(labels, data, 1).items()) == [
        ("CR chest", 30),
        ("CT head", 1),
    ]


def test_features_have_the_shapes_of_their_cells() -> None:
    """64 pixels: 7x7 HOG blocks of 2x2 cells and 9 orientations, 4x4 LBP cells of 59."""
    tiles = np.random.default_rng(1).integers(0, 256, (12, 64, 64)).astype(np.uint8)
    assert hog_features(tiles).shape == (12, 7 * 7 * 4 * 9)
    lbp = lbp_features(tiles)
    assert lbp.shape == (12, 4 * 4 * 59)
    np.testing.assert_allclose(lbp.sum(axis=1), 16)
    assert fit_pca(tiles, 1)(tiles).shape == (12, 12)


def test_lbp_sees_texture() -> None:
    """A flat cell has one pattern, a noisy one many."""
    flat = np.full((1, 32, 32), 90, dtype=np.uint8)
    noise = np.random.default_rng(1).integers(0, 256, (1, 32, 32)).astype(np.uint8)
    assert np.count_nonzero(lbp_features(flat)) < 40
    assert np.count_nonzero(lbp_features(noise)) > 100


def test_constant_tiles_have_finite_features() -> None:
    """A black picture has no gradients, and still features."""
    black = np.zeros((3, 32, 32), dtype=np.uint8)
    assert np.isfinite(hog_features(black)).all()
    assert np.isfinite(lbp_features(black)).all()


def test_clustpy_gets_small_flat_tiles() -> None:
    """Feed-forward networks get 32x32 numbers in [0, 1] for a tile of any size."""
    tiles = np.full((3, 64, 64), 255, dtype=np.uint8)
    flat = clustpy_methods.flattened(tiles)
    assert flat.shape == (3, 1024)
    assert flat.dtype == np.float32
    np.testing.assert_allclose(flat, 1.0)


@pytest.mark.skipif(not clustpy_methods.available(), reason="ClustPy is not installed")
@pytest.mark.parametrize("name", clustpy_methods.NAMES)
def test_clustpy_labels_unseen_images(name: str) -> None:
    """Each unseen tile gets one of the clusters and an embedding."""
    rng = np.random.default_rng(1)
    tiles = rng.integers(0, 256, (300, 32, 32)).astype(np.uint8)
    embedding, labels = clustpy_methods.run_clustpy(name, tiles, tiles[:20], 3, 1)
    assert embedding.shape == (20, clustpy_methods.EMBEDDING)
    assert set(labels.tolist()) <= {0, 1, 2}
