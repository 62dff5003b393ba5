"""Cluster centers with tag profiles, and the choice of their sharpness."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from model_training.network.clustering import soft_assignment
from model_training.tag_model.tag_profiles import TagProfiles, fit_all
from veritag.judging.tag_probabilities import Floats, sharpened
from veritag.terms.concepts import compatible

SHARPNESSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
SHARPNESS_TAGS = ("Modality", "BodyPartExamined")
"""Tags whose held-out log loss decides on the sharpness."""
LEAST_MASS = 1e-4
"""Probability that the log loss of one image is limited to."""

Values = dict[str, NDArray[np.str_]]


@dataclass(frozen=True)
class ClusterModel:
    """K clusters of embeddings, and the shares of tag values in each.

    Attributes
    ----------
    centers
        Of shape (K, D).
    degrees
        Degrees of freedom of Student's t in q (eq. 11).
    sharpness
        Exponent of q, by which profiles are weighed. Student's t is nearly flat in many
        dimensions: q itself would mix the profiles of all clusters.
    profiles
        Keyword to the profiles of the training part.
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
        """Return the probability that a value is wrong by the profiles alone, (N,).

        NaN where the profiles have no opinion. Only the choice of sharpness uses it.
        """
        scores = np.full(len(embedding), np.nan)
        profiles = self.profiles.get(tag)
        if profiles is None or len(embedding) == 0:
            return scores
        mass = profiles.posterior(self.weights(embedding))
        for value in np.unique(observed[observed != ""]):
            fits = np.array([compatible(tag, v, str(value)) for v in profiles.values])
            if fits.any():  # a value that no training image has cannot be called wrong
                rows = observed == value
                scores[rows] = 1 - mass[rows][:, fits].sum(axis=1)
        clipped: Floats = np.clip(scores, 0, 1)
        return clipped


def with_sharpness(
    model: ClusterModel, embedding: Floats, values: Values, sharpness: float
) -> ClusterModel:
    """Return the model with another sharpness and the profiles fitted under it.

    Parameters
    ----------
    embedding, values
        Of the training part: (N, D), and keyword to normalized values (N,).
    """
    weights = sharpened(model.soft_assignment(embedding), sharpness)
    return replace(model, sharpness=sharpness, profiles=fit_all(weights, values))


def log_loss(model: ClusterModel, embedding: Floats, values: Values) -> float:
    """Return the mean negative log probability of the received values."""
    losses = []
    for tag in SHARPNESS_TAGS:
        scores = model.scores(embedding, tag, values[tag])
        scores = scores[~np.isnan(scores)]
        losses.append(-np.log(np.maximum(1 - scores, LEAST_MASS)))
    joined = np.concatenate(losses)
    return float(joined.mean()) if joined.size else float("inf")


def choose_sharpness(
    model: ClusterModel,
    embedding: Floats,
    values: Values,
    held_out_embedding: Floats,
    held_out_values: Values,
) -> ClusterModel:
    """Return the model with the sharpness of the least log loss on held-out tags.

    Training tags cannot decide: the profiles are fitted on them.
    """
    models = [with_sharpness(model, embedding, values, s) for s in SHARPNESSES]
    losses = [log_loss(one, held_out_embedding, held_out_values) for one in models]
    return models[int(np.argmin(losses))]
