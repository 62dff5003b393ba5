"""Figures of clusters against true modality and region; N images, K clusters."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import (
    adjusted_rand_score,
    homogeneity_score,
    normalized_mutual_info_score,
    silhouette_score,
)
from sklearn.metrics.cluster import contingency_matrix

from model_training.compare.images.labelled_images import LabelledImages
from model_training.evaluation.measures import contingency, homogeneity, nmi

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Strings = NDArray[np.str_]

SILHOUETTE_SAMPLE = 1_000
ROUNDS = 200
INTERVAL = (2.5, 97.5)
TRUTHS = ("modality", "region")


def agreement(labels: Labels, truth: Strings) -> dict[str, float]:
    """Return NMI, homogeneity, ARI and accuracy of labels (N,) against a truth (N,)."""
    return {
        "nmi": float(normalized_mutual_info_score(truth, labels)),
        "hs": float(homogeneity_score(truth, labels)),
        "ari": float(adjusted_rand_score(truth, labels)),
        "acc": clustering_accuracy(labels, truth),
    }


def clustering_accuracy(labels: Labels, truth: Strings) -> float:
    """Return the share of images in the cluster that is matched to their kind.

    Each kind is matched to at most one cluster and each cluster to at most one kind, by
    the best assignment (Kuhn 1955); images of unmatched clusters count as wrong.
    """
    table = contingency_matrix(truth, labels)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum() / max(1, len(labels)))


def silhouette(embedding: Floats, labels: Labels, seed: int = 0) -> float | None:
    """Return the silhouette over a sample of embeddings (N, D), None where undefined."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(labels))[:SILHOUETTE_SAMPLE]
    clusters = len(np.unique(labels[rows]))
    if not 1 < clusters < len(rows):
        return None
    return float(silhouette_score(embedding[rows], labels[rows]))


def figures_of(
    labels: Labels, embedding: Floats, data: LabelledImages, mask: NDArray[np.bool_]
) -> dict[str, float | None]:
    """Return all figures of the chosen images, named like `nmi_region`.

    Figures of modality, or of region, are left out where all images have the same.

    Parameters
    ----------
    labels, embedding
        Of all images of `data`, of shapes (N,) and (N, D).
    """
    result: dict[str, float | None] = {}
    for name in TRUTHS:
        truth = getattr(data, name)[mask]
        if len(np.unique(truth)) < 2:  # noqa: PLR2004 -- one kind is no clustering
            continue
        for figure, value in agreement(labels[mask], truth).items():
            result[f"{figure}_{name}"] = round(value, 4)
    spread = silhouette(embedding[mask], labels[mask])
    result["silhouette"] = None if spread is None else round(spread, 4)
    result["clusters"] = float(len(np.unique(labels[mask])))
    result["images"] = float(mask.sum())
    return result


def intervals(
    labels: Labels, data: LabelledImages, *, rounds: int = ROUNDS, seed: int = 0
) -> dict[str, list[float]]:
    """Return 95 % intervals of NMI and homogeneity, by a bootstrap over patients."""
    rng = np.random.default_rng(seed)
    _, patient = np.unique(data.patients, return_inverse=True)
    _, cluster = np.unique(labels, return_inverse=True)
    kinds = {
        name: np.unique(getattr(data, name), return_inverse=True)[1] for name in TRUTHS
    }
    count = int(patient.max()) + 1
    figures: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        drawn = rng.multinomial(count, np.full(count, 1 / count))[patient]
        for name, kind in kinds.items():
            table = contingency(cluster, kind, drawn.astype(np.float64))
            figures[f"nmi_{name}"].append(nmi(table) or 0.0)
            figures[f"hs_{name}"].append(homogeneity(table) or 0.0)
    return {
        figure: [round(float(v), 4) for v in np.percentile(values, INTERVAL)]
        for figure, values in figures.items()
    }


def kinds_of_cluster(
    labels: Labels, data: LabelledImages, cluster: int
) -> Mapping[str, int]:
    """Return the kinds in a cluster, such as "CR chest", to their numbers of images."""
    mask = labels == cluster
    kinds = np.char.add(np.char.add(data.modality[mask], " "), data.region[mask])
    names, counts = np.unique(kinds, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {str(names[i]): int(counts[i]) for i in order}
