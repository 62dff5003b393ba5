"""Measures of the flagging benchmark, against scikit-learn and computed examples."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from benchmarks.flagging.curves import curve, reliability
from benchmarks.flagging.measures import (
    CHUNK,
    Floats,
    ScoredValues,
    average_precision,
    calibration_error,
    drawn_figures,
    figures,
    interval,
    patient_draws,
    ranking,
    recall_at,
    recall_at_budget,
    unit_weights,
)

ITEMS = st.lists(
    st.tuples(
        # Few distinct scores, so that many are the same.
        st.integers(0, 5).map(lambda n: n / 5),
        st.booleans(),
        st.integers(0, 3).map(float),
    ),
    min_size=1,
    max_size=40,
)


def scored(score: Any, wrong: Any, **parts: Any) -> ScoredValues:
    """Return scored values, flagged from 0.5, each of its own patient."""
    score = np.array(score, dtype=np.float64)
    columns = {
        "flagged": score >= 0.5,
        "judged": np.ones(len(score), dtype=bool),
        "patient": np.arange(len(score)),
        **{name: np.array(part) for name, part in parts.items()},
    }
    return ScoredValues(score, wrong=np.array(wrong, dtype=bool), **columns)


def figure(name: str, one: ScoredValues) -> float:
    """Return one measure, without draws."""
    return float(figures(one, unit_weights(len(one.score)))[name][0])


@given(ITEMS)
def test_average_precision_is_that_of_scikit_learn(
    items: list[tuple[float, bool, float]],
) -> None:
    """It agrees for any weights and ties; without wrong values it is undefined."""
    score, wrong, weight = (np.array(column) for column in zip(*items, strict=True))
    precision = average_precision(ranking(score, wrong, weight[np.newaxis]))[0]
    if (weight * wrong).sum() == 0:
        assert np.isnan(precision)
    else:
        expected = average_precision_score(wrong, score, sample_weight=weight)
        assert precision == pytest.approx(expected)


def test_recall_at_one_percent_lets_one_right_value_of_a_hundred_be_flagged() -> None:
    """Wrong values above the second highest right one are found, others are not."""
    right = np.linspace(0.0, 0.9, 100)
    wrong = [0.95, 0.895, 0.892, 0.5]
    ranked = ranking(
        np.append(right, wrong), np.arange(104) >= 100, unit_weights(104)
    )  # right: 0.9, 0.8909, ...
    assert recall_at(ranked)[0] == pytest.approx(3 / 4)
    assert recall_at(ranked, 0.0)[0] == pytest.approx(1 / 4)


def test_recall_at_one_percent_takes_values_of_one_score_together() -> None:
    """Two right values with the score of a wrong one are too many of a hundred."""
    score = np.append(np.zeros(98), [0.7, 0.7, 0.7])
    ranked = ranking(score, np.arange(101) == 100, unit_weights(101))
    assert recall_at(ranked)[0] == 0
    assert recall_at(ranked, 0.02)[0] == 1


def test_the_budget_is_as_many_flags_as_there_are_errors() -> None:
    """Two of the three wrong values are among the three highest scores."""
    one = scored([0.9, 0.8, 0.7, 0.6, 0.1], [1, 0, 1, 0, 1])
    assert figure("recall_at_budget", one) == pytest.approx(2 / 3)


def test_the_budget_falls_at_random_among_equal_scores() -> None:
    """One flag among four equal scores, one of them wrong, finds a quarter."""
    ranked = ranking(
        np.zeros(4), np.array([True, False, False, False]), unit_weights(4)
    )
    assert recall_at_budget(ranked)[0] == pytest.approx(1 / 4)


def test_precision_and_recall_are_of_the_flags_alone() -> None:
    """Two of three flags are correct, and two of four wrong values are flagged."""
    one = scored(
        np.linspace(0, 1, 6),
        [1, 1, 0, 0, 1, 1],
        flagged=[True, False, True, False, True, False],
    )
    assert figure("precision", one) == pytest.approx(2 / 3)
    assert figure("recall", one) == pytest.approx(2 / 4)


def test_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    """Two bins: 0.1 where a half is wrong, 0.9 where all are wrong."""
    probability, wrong = np.array([0.1, 0.1, 0.9, 0.9]), np.array([0, 1, 1, 1]) > 0
    error = calibration_error(probability, wrong, unit_weights(4), bins=2)[0]
    assert error == pytest.approx(0.5 * 0.4 + 0.5 * 0.1)


def test_calibration_error_is_of_what_is_judged() -> None:
    """Values that a method does not judge count in its coverage only."""
    one = scored([1.0, 0.0, 0.0], [1, 1, 0], judged=[True, False, True])
    assert figure("calibration_error", one) == 0
    assert figure("coverage", one) == pytest.approx(2 / 3)
    assert figure("coverage_of_wrong", one) == pytest.approx(1 / 2)


def test_reliability_has_each_bin_with_its_count() -> None:
    """A probability of 1 is in the last bin; empty bins are left out."""
    bins = reliability(np.array([0.05, 0.05, 1.0]), np.array([False, True, True]))
    assert bins == [
        {"probability": 0.05, "wrong": 0.5, "count": 2},
        {"probability": 1.0, "wrong": 1.0, "count": 1},
    ]


def test_the_curve_ends_where_all_is_found() -> None:
    """At recall 1 the precision is the share of wrong values."""
    points = curve(scored([0.9, 0.8, 0.7], [1, 0, 1]))
    assert points == [(0.5, 1.0), (0.5, 0.5), (1.0, 0.6667)]
    assert curve(scored([0.9], [0])) == []


def test_images_of_a_patient_are_drawn_together() -> None:
    """Weights are integers, equal within a patient; their sum is the number of patients."""
    patient = np.array([3, 3, 7, 9, 9, 9])
    draws = list(patient_draws(patient, CHUNK + 10, np.random.default_rng(0)))
    weights = np.concatenate(draws)
    assert weights.shape == (CHUNK + 10, 6)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()
    assert weights.std() > 0


def test_repeated_images_of_few_patients_widen_the_interval() -> None:
    """Copies of the images of ten patients do not make the interval narrower."""
    rng = np.random.default_rng(1)
    wrong = np.arange(10) % 2 == 0
    score = 0.4 * wrong + rng.random(10)
    alone = scored(np.tile(score, 20), np.tile(wrong, 20))
    patients = np.tile(np.arange(10), 20)
    assert _width(scored(alone.score, alone.wrong, patient=patients)) > 2 * _width(
        alone
    )


def _width(one: ScoredValues) -> float:
    drawn = drawn_figures({"a": one}, 200, seed=1)["a"]["average_precision"]
    ends = interval(drawn)
    assert ends is not None
    return ends[1] - ends[0]


def test_methods_are_compared_on_the_same_patients() -> None:
    """Equal methods have equal measures in every draw."""
    rng = np.random.default_rng(2)
    one = scored(rng.random(50), rng.random(50) < 0.3)
    drawn = drawn_figures({"a": one, "b": one}, 120, seed=3)
    for name in ("average_precision", "recall_at_budget", "calibration_error"):
        assert np.array_equal(drawn["a"][name], drawn["b"][name])
        assert len(drawn["a"][name]) == 120


def test_figures_of_many_draws_are_those_of_each() -> None:
    """Measures of many draws, calculated in chunks, are those of each draw."""
    rng = np.random.default_rng(4)
    one = scored(rng.random(30), rng.random(30) < 0.4)
    weights: Floats = rng.integers(0, 3, (2 * CHUNK + 1, 30)).astype(np.float64)
    together = figures(one, weights)
    for row in (0, CHUNK, 2 * CHUNK):
        alone = figures(one, weights[row : row + 1])
        for name, values in together.items():
            assert values[row] == pytest.approx(alone[name][0], nan_ok=True)


def test_an_interval_needs_draws_that_tell_something() -> None:
    """Mostly undefined measures have no interval; a few undefined ones are left out."""
    assert interval(np.array([np.nan, np.nan, 1.0])) is None
    assert interval(np.array([])) is None
    assert interval(np.array([0.5, 0.5, np.nan])) == (0.5, 0.5)
