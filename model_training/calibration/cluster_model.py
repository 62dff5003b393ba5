"""Cluster centers and tag profiles together: what an embedding is judged by."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from model_training.calibration.tag_profiles import TagProfiles, fit_all
from model_training.network.clustering import soft_assignment
from veritag.judging.tag_probabilities import Floats, sharpened
from veritag.terms.concepts import compatible

SHARPNESSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
CHOOSING = ("Modality", "BodyPartExamined")
LEAST_MASS = 1e-4

Values = dict[str, NDArray[np.str_]]


@dataclass(frozen=True)
class ClusterModel:
    """K clusters over embeddings and what the training part's tags say of them.

    Attributes
    ----------
    centers
        Of shape (K, D).
    degrees
        Of freedom of Student's t in q, eq. 11.
    sharpness
        Exponent put on q before profiles are weighed.
    """

    centers: Floats
    degrees: float
    sharpness: float = 1.0
    profiles: dict[str, TagProfiles] = field(default_factory=dict)

    def weights(self, embedding: Floats) -> Floats:
        """Return sharpened soft assignments of embeddings (N, D), of shape (N, K)."""
        return sharpened(self.soft_assignment(embedding), self.sharpness)

    def soft_assignment(self, embedding: Floats) -> Floats:
        """Return q of embeddings (N, D), of shape (N, K)."""
        return soft_assignment(embedding, self.centers, self.degrees)

    def scores(self, embedding: Floats, tag: str, observed: NDArray[np.str_]) -> Floats:
        """Return how strongly each image contradicts a value, NaN without an opinion.

        By the profiles alone, for the choice of their sharpness; of shape (N,).
        """
        scores = np.full(len(embedding), np.nan)
        profiles = self.profiles.get(tag)
        if profiles is None or len(embedding) == 0:
            return scores
        mass = profiles.posterior(self.weights(embedding))
        for value in np.unique(observed[observed != ""]):
            fits = np.array([compatible(tag, v, str(value)) for v in profiles.values])
            if fits.any():  # what was never seen cannot be called wrong
                rows = observed == value
                scores[rows] = 1 - mass[rows][:, fits].sum(axis=1)
        clipped: Floats = np.clip(scores, 0, 1)
        return clipped


def with_sharpness(
    model: ClusterModel, embedding: Floats, values: Values, sharpness: float
) -> ClusterModel:
    """Return the model with its profiles fitted under another sharpness.

    Embeddings (N, D) and normalized tags are those of the training part.
    """
    weights = sharpened(model.soft_assignment(embedding), sharpness)
    return replace(model, sharpness=sharpness, profiles=fit_all(weights, values))


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
