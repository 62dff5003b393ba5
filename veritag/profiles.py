"""What clusters say of tags: the arithmetic that training and judging share.

Pure functions of arrays; K is the number of clusters, V that of a tag's values.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from veritag.bundle import ClusterProfile

Floats = NDArray[np.float64]

LEAST_COVERED = 0.5
"""Share of the weight that must lie on clusters which know the tag, else no opinion."""


def sharpened(soft_assignment: Floats, sharpness: float) -> Floats:
    """Return q**sharpness, each row made to sum to 1, of shape (n, K).

    Student-t assignments in many dimensions are nearly flat; the exponent, which
    calibration chooses, gives the near clusters their weight back.
    """
    q = np.asarray(soft_assignment, dtype=np.float64)
    logs = sharpness * np.log(np.maximum(q, 1e-300))
    logs -= logs.max(axis=1, keepdims=True)
    powers = np.exp(logs)
    weights: Floats = powers / powers.sum(axis=1, keepdims=True)
    return weights


def series_weights(soft_assignment: Floats, sharpness: float) -> Floats:
    """Return the weight of each cluster in a series, of shape (K,), summing to 1."""
    weights: Floats = sharpened(soft_assignment, sharpness).mean(axis=0)
    return weights


def posterior(weights: Floats, profiles: Floats, knows: NDArray[np.bool_]) -> Floats:
    """Return the probability of each value, of shape (n, V); NaN rows have no opinion.

    Parameters
    ----------
    weights
        Of the clusters, of shape (n, K), rows summing to 1.
    profiles
        Share of each value in each cluster, of shape (K, V).
    knows
        Which clusters hold images that carry the tag, of shape (K,); the others are
        left out and the rest scaled up.
    """
    covered = weights[:, knows].sum(axis=1, keepdims=True)
    mass = weights[:, knows] @ profiles[knows]
    result: Floats = np.where(
        covered >= LEAST_COVERED, mass / np.maximum(covered, LEAST_COVERED), np.nan
    )
    return result


def profile_table(
    clusters: Sequence[ClusterProfile], tag: str
) -> tuple[tuple[str, ...], Floats, NDArray[np.bool_]]:
    """Return the values of a tag, the profiles (K, V) and which clusters know it (K,)."""
    values = tuple(sorted({v for c in clusters for v in c.profiles.get(tag, {})}))
    table = np.array(
        [[c.profiles.get(tag, {}).get(v, 0.0) for v in values] for c in clusters],
        dtype=np.float64,
    ).reshape(len(clusters), len(values))
    return values, table, table.sum(axis=1) > 0


def series_posterior(
    clusters: Sequence[ClusterProfile], sharpness: float, q: Floats, tag: str
) -> dict[str, float] | None:
    """Return the probability of each normalized value of a tag, most probable first.

    Parameters
    ----------
    q
        Soft assignments of the series' known instances, of shape (n, K).

    Returns
    -------
    None where the clusters that the series lies in know nothing of the tag.
    """
    if len(q) == 0:
        return None
    values, table, knows = profile_table(clusters, tag)
    row = posterior(series_weights(q, sharpness)[None, :], table, knows)[0]
    if not values or np.isnan(row).any():
        return None
    ranked = sorted(zip(values, row.tolist(), strict=True), key=lambda item: -item[1])
    return {value: probability for value, probability in ranked if probability > 0}


def contradiction_score(
    probabilities: Mapping[str, float],
    observed: str,
    compatible: Callable[[str, str], bool],
) -> float:
    """Return the probability, in 0..1, that no value fits which `observed` could mean."""
    fitting = sum(
        p for value, p in probabilities.items() if compatible(value, observed)
    )
    return float(min(1.0, max(0.0, 1.0 - fitting)))
