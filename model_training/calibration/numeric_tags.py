"""What images of one kind usually carry in their numeric tags."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import median_abs_deviation

from model_training.snapshots.samples import Sample
from veritag.judging.numeric_ranges import NUMERIC, range_scores
from veritag.judging.tag_probabilities import Floats

LEAST_VALUES = 8
"""Values under which a cluster has no range."""
DEVIATIONS = 3.0
LEAST_DEVIATION = 0.1
SLIPS = (1000.0, 0.001)
"""Seconds or microseconds taken for milliseconds, and the like."""

Numbers = dict[str, Floats]
Ranges = dict[str, tuple[Floats, Floats]]


def numbers_of(samples: Sequence[Sample]) -> Numbers:
    """Return keyword to the values of the images, NaN where absent, of shape (N,)."""
    return {
        tag: np.array([s.numbers.get(tag, (np.nan,))[0] for s in samples])
        for tag in NUMERIC
    }


def fit_ranges(weights: Floats, numbers: Numbers) -> Ranges:
    """Return keyword to the ends of each cluster's range, NaN for none, of shape (K,).

    Median and median absolute deviation of the logarithms: few wrong values among
    those learnt from move neither.

    Parameters
    ----------
    weights
        Sharpened soft assignments of the training part, of shape (N, K).
    """
    nearest = weights.argmax(axis=1)
    ranges = {}
    for tag, values in numbers.items():
        ends = np.full((2, weights.shape[1]), np.nan)
        told = np.isfinite(values) & (values > 0)
        for k in np.unique(nearest[told]):
            logs = np.log(values[told & (nearest == k)])
            if len(logs) >= LEAST_VALUES:
                ends[:, k] = _range(logs)
        ranges[tag] = ends[0], ends[1]
    return ranges


def _range(logs: Floats) -> Floats:
    middle = np.median(logs)
    deviation = float(median_abs_deviation(logs, scale="normal"))
    reach = DEVIATIONS * max(deviation, LEAST_DEVIATION)
    ends: Floats = np.exp([middle - reach, middle + reach])
    return ends


def slipped(values: Floats, rng: np.random.Generator) -> Floats:
    """Return values as they are when a unit was mistaken, of shape (n,)."""
    wrong: Floats = values * rng.choice(SLIPS, size=len(values))
    return wrong


def scores_of(weights: Floats, values: Floats, ends: tuple[Floats, Floats]) -> Floats:
    """Return how far values (n,) lie outside their clusters' ranges, NaN for silence."""
    return range_scores(values, weights, *ends)
