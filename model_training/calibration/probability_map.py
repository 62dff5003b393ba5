"""Map from a score to the probability that the tag is wrong."""

import numpy as np
from sklearn.isotonic import IsotonicRegression

from model_training.tag_model.error_injection import ERROR_RATE
from veritag.judging.tag_probabilities import JUST_BELOW, Floats

KNOTS = 24
"""Knots towards 1, besides the steps of the regression."""
RISE = 2e-4
"""Of probability over all knots: flat steps rise a little, so that scores keep their order."""
MOST_CERTAIN = 0.999
"""Probabilities lie between 1 - this and this: no sample is large enough for more."""


def fit_probability_map(
    right: Floats, wrong: Floats, threshold: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return scores and the probabilities at them; both rise strictly.

    Isotonic regression, which assumes no shape of the curve (Zadrozny and Elkan 2002).

    Parameters
    ----------
    right, wrong
        Scores of received and of injected values.
    """
    scores = np.r_[right, wrong]
    is_wrong = np.r_[np.zeros(len(right)), np.ones(len(wrong))]
    # Half of the scores are of injected values: weights restore the usual error rate.
    weights = np.r_[
        np.full(len(right), (1 - ERROR_RATE) / max(1, len(right))),
        np.full(len(wrong), ERROR_RATE / max(1, len(wrong))),
    ]
    isotonic = IsotonicRegression(
        y_min=1 - MOST_CERTAIN, y_max=MOST_CERTAIN, out_of_bounds="clip"
    )
    isotonic.fit(scores, is_wrong, sample_weight=weights)
    # Knots at the steps, at the threshold, just below it, where the lowered scores of
    # novel images end, and close to 1, where most scores of wrong values lie.
    near_one = 1 - np.geomspace(1.0, 1e-7, KNOTS)
    ends = [threshold * JUST_BELOW, threshold]
    knots = np.unique(np.r_[0.0, near_one, ends, isotonic.X_thresholds_, 1.0].round(9))
    probabilities = np.maximum.accumulate(isotonic.predict(knots))
    slope = np.linspace(0.0, RISE, len(knots))
    return (
        tuple(knots.tolist()),
        tuple(np.round(probabilities * (1 - RISE) + slope, 9).tolist()),
    )
