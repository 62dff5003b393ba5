"""Probabilities of tag values given pictures: the arithmetic of training and judging.

Pure functions of arrays; n is the number of pictures, K that of clusters, V that of a
tag's values.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from veritag.bundles.manifest import TagCalibration

Floats = NDArray[np.float64]

Fit: TypeAlias = Callable[[str, str], float]
"""How well the first value stands for the second, 0 to 1."""

JUST_BELOW = 0.999

ODD = 3.0
"""How far, in natural logarithms, a picture may be from the median of its series.

A factor of twenty: it moves the mean of few pictures visibly and decides it alone only
where the others are undecided."""

_LEAST = 1e-12


def sharpened(soft_assignment: Floats, sharpness: float) -> Floats:
    """Return q**sharpness, each row made to sum to 1, of shape (n, K).

    Student-t assignments in many dimensions are nearly flat; the exponent, which
    calibration chooses, gives the near clusters their weight back.
    """
    q = np.asarray(soft_assignment, dtype=np.float64)
    # A q of 0 has no logarithm; without the shift all powers of a row could become 0.
    logs = sharpness * np.log(np.maximum(q, 1e-300))
    logs -= logs.max(axis=1, keepdims=True)
    powers = np.exp(logs)
    weights: Floats = powers / powers.sum(axis=1, keepdims=True)
    return weights


def ranked(values: Sequence[str], probabilities: Floats) -> dict[str, float]:
    """Return value to probability (V,), the most probable first, without zeros."""
    pairs = zip(values, probabilities.tolist(), strict=True)
    return dict(sorted((p for p in pairs if p[1] > 0), key=lambda p: (-p[1], p[0])))


def independent_pictures(count: int, correlation: float) -> float:
    """Return how many independent pictures `count` pictures of one series are worth.

    Kish's effective sample size, n / (1 + (n - 1) rho) (Survey Sampling, 1965, 8.2):
    one where all show the same, `count` where none repeats another.
    """
    rho = 1.0 if math.isnan(correlation) else min(1.0, max(0.0, correlation))
    return count / (1 + (count - 1) * rho)


def pooled(probabilities: Floats, correlation: float) -> Floats:
    """Return the probabilities given all pictures of a series, (V,), summing to 1.

    A logarithmic opinion pool (Genest and Zidek, Statistical Science 1986, 1(1)): the
    mean of the logarithms, times the number of independent pictures. Logarithms further
    than `ODD` from the median one are clipped, so that one odd slice does not outvote
    the rest. The probabilities of one picture are returned as they are.

    Parameters
    ----------
    probabilities
        Of shape (n, V) with n > 0, finite and not negative.
    correlation
        How much the pictures repeat one another, 0 to 1; NaN counts as 1.
    """
    positive = np.maximum(np.asarray(probabilities, dtype=np.float64), _LEAST)
    if len(positive) == 1:
        single: Floats = positive[0] / positive[0].sum()
        return single
    logs = np.log(positive)
    middle = np.median(logs, axis=0)
    mean = np.clip(logs, middle - ODD, middle + ODD).mean(axis=0)
    mean *= independent_pictures(len(logs), correlation)
    powers = np.exp(mean - mean.max())
    result: Floats = powers / powers.sum()
    return result


def contradiction_scores(
    probabilities: Floats,
    values: Sequence[str],
    received: Sequence[str | None],
    fit: Fit,
) -> Floats:
    """Return the probability that each received value is wrong, (n,), NaN for no score.

    1 less the probabilities of the concepts, each by how well it fits the value.

    Parameters
    ----------
    probabilities
        Of shape (n, V); rows with NaN have no score.
    values
        The concepts of the columns.
    received
        The concept that each picture carries, of length n; None or empty for none.
    """
    distinct = sorted({value for value in received if value})
    rows = {value: row for row, value in enumerate(distinct)}
    # The last row is that of pictures without a value: NaN gives them no score.
    table = np.array(
        [[fit(v, r) for v in values] for r in distinct] + [[np.nan] * len(values)],
        dtype=np.float64,
    )
    fits = table[[rows[r] if r else len(distinct) for r in received]]
    # The sum of rounded probabilities can be a little above 1.
    clipped: Floats = np.clip(1.0 - (probabilities * fits).sum(axis=1), 0.0, 1.0)
    return clipped


def cautious(scores: Floats, threshold: float, doubtful: NDArray[np.bool_]) -> Floats:
    """Return scores of which the doubtful ones stay below the threshold, in their order.

    Parameters
    ----------
    scores, doubtful
        Of shape (n,).
    """
    result: Floats = np.where(doubtful, scores * threshold * JUST_BELOW, scores)
    return result


def calibrated(calibration: TagCalibration, scores: Floats) -> Floats:
    """Return the probability of being wrong for scores of any shape; NaN stays NaN."""
    if not calibration.score_knots:
        return scores
    probability: Floats = np.interp(
        scores, calibration.score_knots, calibration.probability_knots
    )
    return np.clip(probability, 0.0, 1.0)
