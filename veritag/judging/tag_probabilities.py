"""What clusters and heads say of tags: the arithmetic that training and judging share.

Pure functions of arrays; n is the number of pictures, K that of clusters, V that of a
tag's values.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from veritag.bundles.bundle import ClusterProfile, TagCalibration

Floats = NDArray[np.float64]

Fit: TypeAlias = Callable[[str, str], float]
"""How well the first value stands for the second, 0 to 1."""

ProfileTable: TypeAlias = tuple[tuple[str, ...], Floats, NDArray[np.bool_]]
"""Values of a tag, their shares in each cluster (K, V), which clusters know it (K,)."""

JUST_BELOW = 0.999

LEAST_COVERED = 0.5
"""Share of the weight that must lie on clusters which know the tag, else no opinion."""

ODD = 3.0
"""How far, in natural logarithms, a picture may stray from the median of its series.

A factor of twenty: it moves the mean of few pictures visibly and decides it alone only
where the others are undecided."""

_LEAST = 1e-12


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


def profile_table(clusters: Sequence[ClusterProfile], tag: str) -> ProfileTable:
    """Return the values of a tag, the profiles (K, V) and which clusters know it (K,)."""
    values = tuple(sorted({v for c in clusters for v in c.profiles.get(tag, {})}))
    table = np.array(
        [[c.profiles.get(tag, {}).get(v, 0.0) for v in values] for c in clusters],
        dtype=np.float64,
    ).reshape(len(clusters), len(values))
    return values, table, table.sum(axis=1) > 0


def series_posterior(table: ProfileTable, weights: Floats) -> dict[str, float] | None:
    """Return the probability of each normalized value of a tag, most probable first.

    Parameters
    ----------
    weights
        Of the clusters in the series, of shape (K,).

    Returns
    -------
    None where the clusters that the series lies in know nothing of the tag.
    """
    values, profiles, knows = table
    row = posterior(weights[None, :], profiles, knows)[0]
    if not values or np.isnan(row).any():
        return None
    return ranked(values, row)


def ranked(values: Sequence[str], probabilities: Floats) -> dict[str, float]:
    """Return probabilities (V,) by value, the greatest first, without the zeros."""
    pairs = zip(values, probabilities.tolist(), strict=True)
    return dict(sorted((p for p in pairs if p[1] > 0), key=lambda p: (-p[1], p[0])))


def independent_pictures(count: int, correlation: float) -> float:
    """Return how many independent witnesses `count` pictures of one series make.

    Kish's effective sample size, n / (1 + (n - 1) rho) (Survey Sampling, 1965, 8.2):
    one where all show the same, `count` where none repeats another.
    """
    rho = 1.0 if math.isnan(correlation) else min(1.0, max(0.0, correlation))
    return count / (1 + (count - 1) * rho)


def pooled(probabilities: Floats, correlation: float) -> Floats:
    """Return what all pictures of a series say together, of shape (V,), summing to 1.

    A logarithmic opinion pool (Genest and Zidek, Statistical Science 1986, 1(1)): the
    mean of the logarithms, times the number of independent pictures. No picture is let
    stray further than `ODD` from the median one, so that one odd slice does not
    outvote the rest. One picture is returned as it is.

    Parameters
    ----------
    probabilities
        Of shape (n, V) with n > 0, finite and not negative.
    correlation
        How much the pictures repeat one another, 0 to 1; NaN counts as 1.
    """
    told = np.maximum(np.asarray(probabilities, dtype=np.float64), _LEAST)
    if len(told) == 1:
        alone: Floats = told[0] / told[0].sum()
        return alone
    logs = np.log(told)
    middle = np.median(logs, axis=0)
    mean = np.clip(logs, middle - ODD, middle + ODD).mean(axis=0)
    mean *= independent_pictures(len(logs), correlation)
    powers = np.exp(mean - mean.max())
    result: Floats = powers / powers.sum()
    return result


def contradiction_score(
    probabilities: Mapping[str, float], observed: str, fit: Fit
) -> float:
    """Return the probability, in 0..1, that nothing fits which `observed` could mean."""
    fitting = sum(p * fit(value, observed) for value, p in probabilities.items())
    return float(min(1.0, max(0.0, 1.0 - fitting)))


def contradiction_scores(
    probabilities: Floats,
    values: Sequence[str],
    observed: Sequence[str | None],
    fit: Fit,
) -> Floats:
    """Return the contradiction score of each picture, of shape (n,).

    Parameters
    ----------
    probabilities
        Of shape (n, V); rows with NaN have no score.
    values
        What the columns stand for.
    observed
        What each picture carries, of length n; those without any have no score.

    Returns
    -------
    NaN where there is no score.
    """
    asked = sorted({value for value in observed if value})
    rows = {value: row for row, value in enumerate(asked)}
    table = np.array(
        [[fit(v, o) for v in values] for o in asked] + [[np.nan] * len(values)],
        dtype=np.float64,
    )
    fits = table[[rows[o] if o else len(asked) for o in observed]]
    clipped: Floats = np.clip(1.0 - (probabilities * fits).sum(axis=1), 0.0, 1.0)
    return clipped


def cautious(scores: Floats, threshold: float, strange: NDArray[np.bool_]) -> Floats:
    """Return scores of which those of strange pictures stay below the threshold.

    What a model says of pictures that are hardly like those it has learnt is kept in
    its order, and flags nothing.

    Parameters
    ----------
    scores, strange
        Of shape (n,).
    """
    result: Floats = np.where(strange, scores * threshold * JUST_BELOW, scores)
    return result


def calibrated(calibration: TagCalibration, scores: Floats) -> Floats:
    """Return the probability of being wrong for scores of any shape; NaN stays NaN."""
    if not calibration.score_knots:
        return scores
    told = np.interp(scores, calibration.score_knots, calibration.probability_knots)
    probability: Floats = np.clip(told, 0.0, 1.0)
    return probability
