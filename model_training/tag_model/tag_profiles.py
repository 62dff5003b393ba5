"""Tag profiles: the shares of a tag's values in each cluster of the training part."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veritag.bundles.manifest import ClusterProfile
from veritag.dicom.tags import JUDGED_TAGS
from veritag.judging.tag_probabilities import Floats

PRIOR = 1.0
"""Images' worth of the overall shares in every profile: a cluster of few images is never
certain."""
LEAST_SUPPORT = 1.0
"""q-weighted images with the tag below which a cluster has no profile of it."""
LEAST_SHARE = 1e-3
"""Share below which a value is left out of a profile."""
LEAST_COVERED = 0.5
"""Share of the weight on clusters with a profile below which there is no opinion."""


@dataclass(frozen=True)
class TagProfiles:
    """One tag's shares per cluster.

    Attributes
    ----------
    values
        The tag's normalized values, V of them.
    table
        Of shape (K, V); rows of clusters without a profile are zero.
    support
        q-weighted images with the tag, of shape (K,).
    """

    values: tuple[str, ...]
    table: Floats
    support: Floats

    @property
    def has_profile(self) -> NDArray[np.bool_]:
        """Which clusters have a profile of the tag, of shape (K,)."""
        return self.support >= LEAST_SUPPORT

    def posterior(self, weights: Floats) -> Floats:
        """Return the probability of each value, of shape (n, V), NaN for no opinion.

        Clusters without a profile are left out and the other weights scaled up.

        Parameters
        ----------
        weights
            Of the clusters, of shape (n, K), rows summing to 1.
        """
        covered = weights[:, self.has_profile].sum(axis=1, keepdims=True)
        mass = weights[:, self.has_profile] @ self.table[self.has_profile]
        enough = covered >= LEAST_COVERED
        result: Floats = np.where(
            enough, mass / np.maximum(covered, LEAST_COVERED), np.nan
        )
        return result


def fit_profiles(weights: Floats, values: NDArray[np.str_]) -> TagProfiles:
    """Return the profiles of one tag.

    Parameters
    ----------
    weights
        Sharpened soft assignments, of shape (N, K).
    values
        The tag's normalized values, empty where absent, of shape (N,).
    """
    carrying = values != ""
    names, rows = np.unique(values[carrying], return_inverse=True)
    counts = np.zeros((len(names), weights.shape[1]))
    np.add.at(counts, rows, weights[carrying])
    support = counts.sum(axis=0)
    overall = np.bincount(rows, minlength=len(names)) / max(1, len(rows))
    table = (counts.T + PRIOR * overall) / (support[:, None] + PRIOR)
    # Rare values are dropped: the manifest stores every share that is above 0.
    table[table < LEAST_SHARE] = 0.0
    table /= np.maximum(table.sum(axis=1, keepdims=True), 1e-12)
    table[support < LEAST_SUPPORT] = 0.0
    return TagProfiles(tuple(names.tolist()), table, support)


def fit_all(
    weights: Floats, values: dict[str, NDArray[np.str_]]
) -> dict[str, TagProfiles]:
    """Return the profiles of every judged tag that occurs, keyword to profiles."""
    return {
        tag: fit_profiles(weights, values[tag])
        for tag in JUDGED_TAGS
        if tag in values and (values[tag] != "").any()
    }


def cluster_profiles(
    profiles: dict[str, TagProfiles], n: int
) -> tuple[ClusterProfile, ...]:
    """Return the profiles of n clusters as the bundle stores them."""
    return tuple(
        ClusterProfile(
            cluster_id=k,
            profiles={
                tag: _shares(p.values, p.table[k])
                for tag, p in profiles.items()
                if p.has_profile[k]
            },
            support={
                tag: round(float(p.support[k]), 3)
                for tag, p in profiles.items()
                if p.has_profile[k]
            },
        )
        for k in range(n)
    )


def _shares(values: tuple[str, ...], row: Floats) -> dict[str, float]:
    return {v: round(float(p), 6) for v, p in zip(values, row, strict=True) if p > 0}
