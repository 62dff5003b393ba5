"""Figures of clusters and probabilities against their definitions and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    adjusted_rand_score,
    homogeneity_score,
    normalized_mutual_info_score,
)

from model_training.evaluation.measures import (
    adjusted_rand,
    brier,
    calibration_error,
    contingency,
    homogeneity,
    nmi,
    share,
)

LABELS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 3)),
    min_size=2,
    max_size=60,
)


@given(LABELS)
def test_weights_count_like_repeated_images(
    rows: list[tuple[int, int, int]],
) -> None:
    """With an image counted w times the figures are those of w copies of it."""
    clusters, classes, weights = (np.array(c) for c in zip(*rows, strict=True))
    a, b = np.repeat(clusters, weights), np.repeat(classes, weights)
    table = contingency(clusters, classes, weights.astype(float))
    if len(set(b.tolist())) < 2:
        assert nmi(table) is None
        assert homogeneity(table) is None
        assert adjusted_rand(table) is None
        return
    assert nmi(table) == pytest.approx(normalized_mutual_info_score(b, a), abs=1e-9)
    assert homogeneity(table) == pytest.approx(homogeneity_score(b, a), abs=1e-9)
    assert adjusted_rand(table) == pytest.approx(adjusted_rand_score(b, a), abs=1e-9)


def test_probabilities_by_hand() -> None:
    """0.8 for a true case and 0.4 for a false one: errors 0.04 and 0.16."""
    p, truth, w = np.array([0.8, 0.4]), np.array([True, False]), np.array([1.0, 3.0])
    assert brier(p, truth, w) == pytest.approx((0.04 + 3 * 0.16) / 4)
    assert calibration_error(p, truth, w) == pytest.approx((0.2 + 3 * 0.4) / 4)


def test_nothing_has_no_figures() -> None:
    """Empty sets give None, not 0, which would look like a result."""
    nothing = np.empty(0)
    assert brier(nothing, nothing.astype(bool), nothing) is None
    assert calibration_error(nothing, nothing.astype(bool), nothing) is None
    assert share(nothing.astype(bool), nothing) is None
    assert nmi(contingency(nothing.astype(int), nothing.astype(int), nothing)) is None
