"""Usual ranges of numeric tags."""

import numpy as np

from model_training.snapshots.samples import Sample
from model_training.tag_model.fit_numeric_ranges import (
    fit_ranges,
    numeric_values,
    with_unit_errors,
)
from veritag.judging.numeric_ranges import range_scores


def test_a_mistaken_unit_lies_far_outside_of_the_range() -> None:
    """Of exposure times around 100 ms, 120 scores 0 and 100,000 scores 1; absent has none."""
    rng = np.random.default_rng(2)
    samples = [
        Sample({}, "p", "s", numbers={"ExposureTime": (float(t),)})
        for t in np.exp(rng.normal(np.log(100), 0.2, 40))
    ]
    numbers = numeric_values([*samples, Sample({}, "p", "s")])
    weights = np.ones((41, 1))
    low, high = fit_ranges(weights, numbers)["ExposureTime"]
    assert 40 < low[0] < 90
    assert 110 < high[0] < 250
    values = np.array([120.0, 100_000.0, np.nan])
    outside = range_scores(values, np.ones((3, 1)), low, high)
    assert outside[:2].tolist() == [0.0, 1.0]
    assert np.isnan(outside[2])
    wrong = with_unit_errors(np.full(50, 100.0), rng)
    assert set(np.round(wrong, 3).tolist()) == {0.1, 100_000.0}
