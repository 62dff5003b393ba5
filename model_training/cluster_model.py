"""Whitening, centres and profiles together: what an embedding is judged by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_training.clustering import (
    Whitening,
    fit_whitening,
    initial_centers,
    soft_assignment,
    squared_distances,
)
from model_training.profiles import TagProfiles, fit_all
from veritag.concepts import compatible
from veritag.profiles import Floats, posterior, sharpened

SHARPNESSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
CHOOSING = ("Modality", "BodyPartExamined")
LEAST_MASS = 1e-4

Values = dict[str, NDArray[np.str_]]


@dataclass(frozen=True)
class ClusterModel:
    """K clusters over embeddings and what the training part's tags say of them."""

    whitening: Whitening
    centers: Floats
    sharpness: float
    profiles: dict[str, TagProfiles]

    def soft_assignment(self, embedding: Floats) -> Floats:
        """Return q of raw embeddings (N, D), of shape (N, K)."""
        return soft_assignment(self.whitening.apply(embedding), self.centers)

    def nearest(self, embedding: Floats) -> tuple[Floats, NDArray[np.intp]]:
        """Return distance to and index of the nearest centre, both of shape (N,)."""
        squared = squared_distances(self.whitening.apply(embedding), self.centers)
        return np.sqrt(squared.min(axis=1)), squared.argmin(axis=1)

    def groups(self) -> NDArray[np.str_]:
        """Return the Modality that prevails in each cluster, of shape (K,).

        How near an image must be to be known is asked for each group by itself.
        """
        profiles = self.profiles.get("Modality")
        if profiles is None:
            return np.full(len(self.centers), "", dtype=np.str_)
        prevailing = np.array(profiles.values)[profiles.table.argmax(axis=1)]
        return np.where(profiles.knows, prevailing, "")

    def scores(self, embedding: Floats, tag: str, observed: NDArray[np.str_]) -> Floats:
        """Return how strongly each image contradicts a value, NaN without an opinion.

        The same arithmetic as the judge's for a series of one image, of shape (N,).
        """
        scores = np.full(len(embedding), np.nan)
        profiles = self.profiles.get(tag)
        if profiles is None or len(embedding) == 0:
            return scores
        weights = sharpened(self.soft_assignment(embedding), self.sharpness)
        mass = posterior(weights, profiles.table, profiles.knows)
        for value in np.unique(observed[observed != ""]):
            fits = np.array([compatible(tag, v, str(value)) for v in profiles.values])
            if fits.any():  # what was never seen cannot be called wrong
                rows = observed == value
                scores[rows] = 1 - mass[rows][:, fits].sum(axis=1)
        clipped: Floats = np.clip(scores, 0, 1)
        return clipped


def fit_cluster_model(
    embedding: Floats,
    values: Values,
    *,
    n_clusters: int,
    seed: int,
    sharpness: float = 1.0,
) -> ClusterModel:
    """Fit clusters and profiles on embeddings (N, D) and their normalized tags."""
    whitening = fit_whitening(embedding)
    whitened = whitening.apply(embedding)
    centers = initial_centers(whitened, n_clusters, seed)
    return with_sharpness(
        ClusterModel(whitening, centers, sharpness, {}), embedding, values, sharpness
    )


def with_sharpness(
    model: ClusterModel, embedding: Floats, values: Values, sharpness: float
) -> ClusterModel:
    """Return the model with its profiles fitted anew under another sharpness."""
    weights = sharpened(model.soft_assignment(embedding), sharpness)
    return ClusterModel(
        model.whitening, model.centers, sharpness, fit_all(weights, values)
    )


def log_loss(model: ClusterModel, embedding: Floats, values: Values) -> float:
    """Return the mean negative log of the probability given to what was right."""
    losses = []
    for tag in CHOOSING:
        scores = model.scores(embedding, tag, values[tag])
        scores = scores[~np.isnan(scores)]
        losses.append(-np.log(np.maximum(1 - scores, LEAST_MASS)))
    together = np.concatenate(losses)
    return float(together.mean()) if together.size else float("inf")


def choose_sharpness(
    model: ClusterModel,
    embedding: Floats,
    values: Values,
    held_embedding: Floats,
    held_values: Values,
) -> ClusterModel:
    """Return the model with the sharpness that fits held-out tags best."""
    tried = [with_sharpness(model, embedding, values, s) for s in SHARPNESSES]
    losses = [log_loss(one, held_embedding, held_values) for one in tried]
    return tried[int(np.argmin(losses))]
