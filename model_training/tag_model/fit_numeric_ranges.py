"""Fitting of the usual range of each numeric tag in each cluster."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import median_abs_deviation

from model_training.snapshots.samples import Sample
from veritag.judging.numeric_ranges import NUMERIC
from veritag.judging.tag_probabilities import Floats

LEAST_VALUES = 8
"""Values below which a cluster has no range."""
DEVIATIONS = 3.0
LEAST_DEVIATION = 0.1
UNIT_FACTORS = (1000.0, 0.001)
"""Errors of unit: seconds or microseconds written as milliseconds, for example."""

Numbers = dict[str, Floats]
Ranges = dict[str, tuple[Floats, Floats]]


def numeric_values(samples: Sequence[Sample]) -> Numbers:
    """Return keyword to the values of the images, NaN where absent, of shape (N,)."""
    return {
        tag: np.array([s.numbers.get(tag, (np.nan,))[0] for s in samples])
        for tag in NUMERIC
    }


def fit_ranges(weights: Floats, numbers: Numbers) -> Ranges:
    """Return keyword to the ends of each cluster's range, NaN for none, of shape (K,).

    Median and median absolute deviation of the logarithms: a few wrong values among
    the training images move neither.

    Parameters
    ----------
    weights
        Sharpened soft assignments of the training part, of shape (N, K).
    """
    nearest = weights.argmax(axis=1)
    ranges = {}
    for tag, values in numbers.items():
        ends = np.full((2, weights.shape[1]), np.nan)
        usable = np.isfinite(values) & (values > 0)
        for k in np.unique(nearest[usable]):
            # Logarithms, because times and doses of one kind differ by factors.
            logs = np.log(values[usable & (nearest == k)])
            if len(logs) >= LEAST_VALUES:
                ends[:, k] = _range(logs)
        ranges[tag] = ends[0], ends[1]
    return ranges


def _range(logs: Floats) -> Floats:
    """Return low and high end, three robust standard deviations around the median."""
    # scale="normal": 1.4826 MAD is the deviation of normal errors (Hampel 1974).
    deviation = float(median_abs_deviation(logs, scale="normal"))
    reach = DEVIATIONS * max(deviation, LEAST_DEVIATION)
    ends: Floats = np.exp(np.median(logs) + np.array([-reach, reach]))
    return ends


def with_unit_errors(values: Floats, rng: np.random.Generator) -> Floats:
    """Return values (n,), each wrong by a factor of 1000 up or down."""
    wrong: Floats = values * rng.choice(UNIT_FACTORS, size=len(values))
    return wrong
