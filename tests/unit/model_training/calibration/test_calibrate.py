"""Thresholds, bounds and injected errors."""

import numpy as np
import pytest

from model_training.calibration.calibrate import (
    MOST_FALSE_ALARMS,
    _rare,
    _tag_calibration,
    calibrate,
    choose_threshold,
)
from model_training.calibration.held_out_scores import HeldOutScores, contamination
from model_training.calibration.wilson import ONE_SIDED, wilson
from model_training.tag_model.error_injection import inject_errors, wrong_values
from tests.unit.model_training.calibration.held_out import held_out_scores
from veritag.judging.tag_probabilities import calibrated
from veritag.terms.concepts import compatible

TAG = "Modality"
LIMIT = 1.0


def scores(
    right: list[float], wrong: list[float], raw_novelty: float = 0.5
) -> HeldOutScores:
    """Return scores of Modality, CT for MR."""
    return held_out_scores(
        TAG,
        right,
        wrong,
        received=["CT"] * len(right),
        injected=["MR"] * len(right),
        raw_novelty=raw_novelty,
    )


def test_wilson_by_hand() -> None:
    """8 of 10 give 0.490 to 0.943; 0 of 0 gives 0 to 1."""
    assert wilson(8, 10) == pytest.approx((0.490, 0.943), abs=5e-4)
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("carried", [0, 100, 299, 1000, 20_000])
def test_rare_false_alarms_are_those_below_the_upper_wilson_bound(carried: int) -> None:
    """The vectorized test and the interval draw the line at the same count."""
    counts = np.arange(min(carried, 300) + 1)
    upper = [wilson(int(n), carried, ONE_SIDED)[1] for n in counts]
    expected = np.array(upper) <= MOST_FALSE_ALARMS
    np.testing.assert_array_equal(_rare(counts, carried), expected)


def test_a_clear_tag_gets_a_threshold() -> None:
    """Where right and wrong scores do not overlap, the threshold is above every right one."""
    found = choose_threshold([scores([0.6] * 1000, [0.95] * 1000)], TAG, LIMIT)
    assert found == pytest.approx(0.6, abs=1e-4)


def test_few_images_show_nothing() -> None:
    """Without one false alarm in 100, the bound is still above one in a hundred."""
    assert choose_threshold([scores([0.0] * 100, [1.0] * 100)], TAG, LIMIT) is None


def test_a_blunt_tag_is_never_flagged() -> None:
    """Where wrong values score like right ones, there is no threshold."""
    rng = np.random.default_rng(1)
    values = rng.random(2000)
    blunt = scores(values.tolist(), rng.permutation(values).tolist())
    assert choose_threshold([blunt], TAG, LIMIT) is None


def test_unseen_sources_have_a_veto() -> None:
    """False alarms on images of another source raise the threshold above them."""
    patients = scores([0.1] * 1000, [0.99] * 1000)
    sources = scores([0.1] * 380 + [0.97] * 20, [0.99] * 400)
    assert choose_threshold([patients, sources], TAG, LIMIT) == pytest.approx(
        0.97, abs=1e-4
    )


def test_a_few_unseen_sources_speak_by_precision_alone() -> None:
    """Too few images to bound the false alarm rate must only keep the precision."""
    patients = scores([0.1] * 1000, [0.99] * 1000)
    clean = scores([0.1] * 50, [0.99] * 50)
    assert choose_threshold([patients, clean], TAG, LIMIT) is not None
    bad = scores([0.999] * 25 + [0.1] * 25, [0.99] * 50)
    found = choose_threshold([patients, bad], TAG, LIMIT)
    assert found is None


def test_what_is_far_away_is_not_judged() -> None:
    """Images beyond the novelty limit raise no alarm and find nothing."""
    far = scores([0.99] * 1000, [0.99] * 1000, raw_novelty=2.0)
    near = scores([0.1] * 1000, [0.99] * 1000)
    assert choose_threshold([far], TAG, LIMIT) is None
    assert choose_threshold([near, far], TAG, LIMIT) == pytest.approx(0.5, abs=1e-4)


def test_the_probability_rises_with_the_score() -> None:
    """The map from score to probability is monotone and within bounds."""
    rng = np.random.default_rng(2)
    right, wrong = rng.beta(1, 8, 1000), rng.beta(12, 1, 1000)
    tag = calibrate([scores(right.tolist(), wrong.tolist())]).tags[TAG]
    assert tag.threshold is not None
    assert np.all(np.diff(tag.probability_knots) >= 0)
    assert np.all(np.diff(tag.score_knots) > 0)
    assert 0 < tag.probability_knots[0] < 0.2
    assert 0.8 < tag.probability_knots[-1] < 1


def test_what_is_suppressed_has_a_probability_of_its_own() -> None:
    """Lowered scores of novel images get the probability that such images have."""
    rng = np.random.default_rng(6)
    n = 4000
    novel = np.arange(n) % 10 == 0
    right = np.where(novel, rng.uniform(0, 1, n), rng.beta(1, 30, n))
    wrong = np.where(novel, rng.uniform(0, 1, n), rng.beta(30, 1, n))
    one = scores(right.tolist(), wrong.tolist())
    one.raw_novelty[novel] = 0.9
    tag = _tag_calibration([one], TAG, flagging_limit=0.6, known_limit=1.0)
    assert tag.threshold is not None
    below = calibrated(tag, np.array([0.9, 0.999]) * tag.threshold)
    assert (below < 0.3).all()
    assert calibrated(tag, np.array([0.99])) > 0.9


def test_the_order_of_scores_is_kept() -> None:
    """A higher score never has the same probability as a lower one, even near 1."""
    rng = np.random.default_rng(7)
    one = scores(rng.beta(1, 20, 2000).tolist(), rng.beta(20, 1, 2000).tolist())
    tag = calibrate([one]).tags[TAG]
    values = np.array([0.1, 0.2, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999])
    assert (np.diff(calibrated(tag, values)) > 0).all()


def contaminated(share: float) -> HeldOutScores:
    """Return scores of which a share of the received values is wrong."""
    rng = np.random.default_rng(8)
    right, wrong = rng.beta(1, 40, 2000), rng.beta(40, 1, 2000)
    count = int(share * 2000)
    right[:count] = rng.beta(40, 1, count)
    return scores(right.tolist(), wrong.tolist())


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_wrong_tags_among_the_held_out_are_counted(share: float) -> None:
    """The estimated share of wrong received values is close to the true one."""
    one = contaminated(share)
    found = contamination(one.right[TAG], one.wrong[TAG])
    assert 0.7 * share <= found <= share + 0.005


def test_wrong_tags_among_the_held_out_do_not_silence_a_tag() -> None:
    """With one received value in twenty wrong, a threshold finds most injected errors."""
    tag = calibrate([contaminated(0.05)]).tags[TAG]
    assert tag.threshold is not None
    found = (contaminated(0.05).wrong[TAG] >= tag.threshold).mean()
    assert found > 0.6


def test_injected_values_are_really_wrong() -> None:
    """No injected value is compatible with the right one, and absent stays absent."""
    rng = np.random.default_rng(3)
    right = np.array(["HEAD", "CHEST", "", "KNEE", "ABDOMEN", "HEART"] * 20)
    wrong = wrong_values("BodyPartExamined", right, rng)
    for before, after in zip(right.tolist(), wrong.tolist(), strict=True):
        assert bool(before) == bool(after)
        assert not before or not compatible("BodyPartExamined", before, after)


def test_about_every_twentieth_tag_is_injected() -> None:
    """5 % of the values are changed, and the mask shows which."""
    right = np.array(["CT", "MR"] * 1000)
    received, is_wrong = inject_errors("Modality", right, np.random.default_rng(4))
    np.testing.assert_array_equal(received != right, is_wrong)
    assert 0.03 < is_wrong.mean() < 0.07
