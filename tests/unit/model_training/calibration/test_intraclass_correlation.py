"""The intraclass correlation of scores."""

import numpy as np
import pytest

from model_training.calibration.intraclass_correlation import (
    UNKNOWN,
    intraclass_correlation,
)

RNG = np.random.default_rng(5)


def test_correlation_is_one_for_images_that_repeat_one_another() -> None:
    """Equal scores in groups give 1, unrelated ones about 0, too few groups 1."""
    groups = np.repeat([f"s{n}" for n in range(50)], 6)
    level = np.repeat(RNG.normal(size=50), 6)
    assert intraclass_correlation(level, groups) == pytest.approx(1)
    unrelated = intraclass_correlation(RNG.normal(size=300), groups)
    assert unrelated < 0.1
    half = level + RNG.normal(size=300)
    assert intraclass_correlation(half, groups) == pytest.approx(0.5, abs=0.15)
    assert intraclass_correlation(level[:12], groups[:12]) == UNKNOWN
