"""Figures of the flagging benchmark against scikit-learn and hand-worked numbers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from benchmarks.flagging.measures import (
    CHUNK,
    Floats,
    Scored,
    average_precision,
    calibration_error,
    drawn_figures,
    figures,
    interval,
    once,
    patient_draws,
    ranking,
    recall_at,
    recall_at_budget,
)
from benchmarks.flagging.report.curves import curve, reliability

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


def scored(score: Any, wrong: Any, **parts: Any) -> Scored:
    """Return what a method says, flagged from one half on, a patient for each value."""
    score = np.array(score, dtype=np.float64)
    given_ = {
        "flagged": score >= 0.5,
        "opinion": np.ones(len(score), dtype=bool),
        "patient": np.arange(len(score)),
        **{name: np.array(part) for name, part in parts.items()},
    }
    return Scored(score, wrong=np.array(wrong, dtype=bool), **given_)


def figure(name: str, one: Scored) -> float:
    """Return one figure without any draw."""
    return float(figures(one, once(len(one.score)))[name][0])


@given(ITEMS)
def test_average_precision_is_that_of_scikit_learn(
    items: list[tuple[float, bool, float]],
) -> None:
    """With any weights and ties, and with nothing wrong, there is no figure."""
    score, wrong, weight = (np.array(column) for column in zip(*items, strict=True))
    found = average_precision(ranking(score, wrong, weight[np.newaxis]))[0]
    if (weight * wrong).sum() == 0:
        assert np.isnan(found)
    else:
        expected = average_precision_score(wrong, score, sample_weight=weight)
        assert found == pytest.approx(expected)


def test_recall_at_one_percent_lets_one_right_value_of_a_hundred_be_flagged() -> None:
    """Wrong values above the second highest right one are found, the others are not."""
    right = np.linspace(0.0, 0.9, 100)
    wrong = [0.95, 0.895, 0.892, 0.5]
    ranked = ranking(
        np.append(right, wrong), np.arange(104) >= 100, once(104)
    )  # right: 0.9, 0.8909, ...
    assert recall_at(ranked)[0] == pytest.approx(3 / 4)
    assert recall_at(ranked, 0.0)[0] == pytest.approx(1 / 4)


def test_recall_at_one_percent_takes_values_of_one_score_together() -> None:
    """Two right values beside a wrong one are too many of a hundred."""
    score = np.append(np.zeros(98), [0.7, 0.7, 0.7])
    ranked = ranking(score, np.arange(101) == 100, once(101))
    assert recall_at(ranked)[0] == 0
    assert recall_at(ranked, 0.02)[0] == 1


def test_the_budget_is_as_many_flags_as_there_are_errors() -> None:
    """Of the three highest scores two are wrong, of three wrong ones in all."""
    one = scored([0.9, 0.8, 0.7, 0.6, 0.1], [1, 0, 1, 0, 1])
    assert figure("recall_at_budget", one) == pytest.approx(2 / 3)


def test_the_budget_falls_at_random_among_equal_scores() -> None:
    """One flag among four equal scores, one of them wrong, finds a quarter."""
    ranked = ranking(np.zeros(4), np.array([True, False, False, False]), once(4))
    assert recall_at_budget(ranked)[0] == pytest.approx(1 / 4)


def test_precision_and_recall_are_of_the_flags_alone() -> None:
    """Three flags, two of them right to raise, of four wrong values."""
    one = scored(
        np.linspace(0, 1, 6),
        [1, 1, 0, 0, 1, 1],
        flagged=[True, False, True, False, True, False],
    )
    assert figure("precision", one) == pytest.approx(2 / 3)
    assert figure("recall", one) == pytest.approx(2 / 4)


def test_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    """Two bins: 0.1 told where a half is wrong, 0.9 told where all are."""
    probability, wrong = np.array([0.1, 0.1, 0.9, 0.9]), np.array([0, 1, 1, 1]) > 0
    found = calibration_error(probability, wrong, once(4), bins=2)[0]
    assert found == pytest.approx(0.5 * 0.4 + 0.5 * 0.1)


def test_calibration_error_is_of_what_is_judged() -> None:
    """Where a method says nothing, its 0 is no probability; coverage tells how much."""
    one = scored([1.0, 0.0, 0.0], [1, 1, 0], opinion=[True, False, True])
    assert figure("calibration_error", one) == 0
    assert figure("coverage", one) == pytest.approx(2 / 3)
    assert figure("coverage_of_wrong", one) == pytest.approx(1 / 2)


def test_reliability_tells_each_bin_with_its_count() -> None:
    """Certainty lies in the last bin; empty bins are left out."""
    told = reliability(np.array([0.05, 0.05, 1.0]), np.array([False, True, True]))
    assert told == [
        {"probability": 0.05, "wrong": 0.5, "count": 2},
        {"probability": 1.0, "wrong": 1.0, "count": 1},
    ]


def test_the_curve_ends_where_all_is_found() -> None:
    """Recall rises to 1; precision there is the share of wrong values."""
    points = curve(scored([0.9, 0.8, 0.7], [1, 0, 1]))
    assert points == [(0.5, 1.0), (0.5, 0.5), (1.0, 0.6667)]
    assert curve(scored([0.9], [0])) == []


def test_images_of_a_patient_are_drawn_together() -> None:
    """Weights are whole numbers, equal within a patient, as many as patients in sum."""
    patient = np.array([3, 3, 7, 9, 9, 9])
    draws = list(patient_draws(patient, CHUNK + 10, np.random.default_rng(0)))
    weights = np.concatenate(draws)
    assert weights.shape == (CHUNK + 10, 6)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()
    assert weights.std() > 0


def test_repeated_images_of_few_patients_widen_the_interval() -> None:
    """Forty copies of ten patients' images tell no more than the ten themselves."""
    rng = np.random.default_rng(1)
    wrong = np.arange(10) % 2 == 0
    score = 0.4 * wrong + rng.random(10)
    alone = scored(np.tile(score, 20), np.tile(wrong, 20))
    patients = np.tile(np.arange(10), 20)
    assert _width(scored(alone.score, alone.wrong, patient=patients)) > 2 * _width(
        alone
    )


def _width(one: Scored) -> float:
    drawn = drawn_figures({"a": one}, 200, seed=1)["a"]["average_precision"]
    ends = interval(drawn)
    assert ends is not None
    return ends[1] - ends[0]


def test_methods_are_compared_on_the_same_patients() -> None:
    """A method differs from itself in no draw."""
    rng = np.random.default_rng(2)
    one = scored(rng.random(50), rng.random(50) < 0.3)
    drawn = drawn_figures({"a": one, "b": one}, 120, seed=3)
    for name in ("average_precision", "recall_at_budget", "calibration_error"):
        assert np.array_equal(drawn["a"][name], drawn["b"][name])
        assert len(drawn["a"][name]) == 120


def test_figures_of_many_draws_are_those_of_each() -> None:
    """Draws are calculated in parts, which must not show."""
    rng = np.random.default_rng(4)
    one = scored(rng.random(30), rng.random(30) < 0.4)
    weights: Floats = rng.integers(0, 3, (2 * CHUNK + 1, 30)).astype(np.float64)
    together = figures(one, weights)
    for row in (0, CHUNK, 2 * CHUNK):
        alone = figures(one, weights[row : row + 1])
        for name, values in together.items():
            assert values[row] == pytest.approx(alone[name][0], nan_ok=True)


def test_an_interval_needs_draws_that_tell_something() -> None:
    """Mostly undefined figures have no interval, a few undefined ones are left out."""
    assert interval(np.array([np.nan, np.nan, 1.0])) is None
    assert interval(np.array([])) is None
    assert interval(np.array([0.5, 0.5, np.nan])) == (0.5, 0.5)
