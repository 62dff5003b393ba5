"""The distance of two distributions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from services.scheduler.drift import jensen_shannon

MASSES = st.lists(st.integers(0, 9), min_size=4, max_size=4).filter(any)


@given(MASSES, MASSES)
def test_it_is_the_distance_that_scipy_computes(p: list[int], q: list[int]) -> None:
    """The distance lies in 0..1 for all masses and is symmetric."""
    ours = jensen_shannon(dict(enumerate(p)), dict(enumerate(q)))
    assert ours == pytest.approx(float(jensenshannon(p, q, base=2)), abs=1e-6)
    assert ours == jensen_shannon(dict(enumerate(q)), dict(enumerate(p)))


def test_ends_of_the_scale() -> None:
    """Equal shares have distance 0, disjoint ones 1."""
    assert jensen_shannon({1: 2.0, 2: 2.0}, {1: 0.5, 2: 0.5}) == 0
    assert jensen_shannon({1: 1.0}, {2: 1.0}) == 1
    assert jensen_shannon({"a": 0.5, "b": 0.5}, {"a": 1.0}) == pytest.approx(
        0.558, abs=1e-3
    )
