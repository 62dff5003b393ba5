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
from model_training.calibration.check import inject
from model_training.calibration.evidence import HeldOutEvidence, contamination
from model_training.calibration.injection import wrong_values
from model_training.calibration.wilson import ONE_SIDED, wilson
from veritag.dicom.tags import JUDGED_TAGS
from veritag.judging.tag_probabilities import calibrated
from veritag.terms.concepts import compatible

TAG = "Modality"
FAMILIAR = 1.0


def evidence(
    right: list[float], wrong: list[float], novelty: float = 0.5
) -> HeldOutEvidence:
    """Return evidence for Modality alone."""
    n = len(right)
    nothing = {t: np.full(n, np.nan) for t in JUDGED_TAGS}
    absent = {t: np.full(n, "", dtype="<U2") for t in JUDGED_TAGS}
    return HeldOutEvidence(
        np.full(n, novelty),
        np.ones(n, dtype=bool),
        {**absent, TAG: np.full(n, "CT")},
        {**absent, TAG: np.full(n, "MR")},
        {**nothing, TAG: np.array(right)},
        {**nothing, TAG: np.array(wrong)},
    )


def test_wilson_by_hand() -> None:
    """8 of 10 give 0.490 to 0.943; nothing gives the whole range."""
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
    """Where right and wrong are apart, the threshold lies above every right score."""
    found = choose_threshold([evidence([0.6] * 1000, [0.95] * 1000)], TAG, FAMILIAR)
    assert found == pytest.approx(0.6, abs=1e-4)


def test_few_images_show_nothing() -> None:
    """Without one false alarm in 100, the bound is still above one in a hundred."""
    assert choose_threshold([evidence([0.0] * 100, [1.0] * 100)], TAG, FAMILIAR) is None


def test_a_blunt_tag_is_never_flagged() -> None:
    """Where wrong values score like right ones, there is no threshold."""
    rng = np.random.default_rng(1)
    scores = rng.random(2000)
    blunt = evidence(scores.tolist(), rng.permutation(scores).tolist())
    assert choose_threshold([blunt], TAG, FAMILIAR) is None


def test_unseen_sources_have_a_veto() -> None:
    """False alarms on another source's files lift the threshold over them."""
    patients = evidence([0.1] * 1000, [0.99] * 1000)
    sources = evidence([0.1] * 380 + [0.97] * 20, [0.99] * 400)
    assert choose_threshold([patients, sources], TAG, FAMILIAR) == pytest.approx(
        0.97, abs=1e-4
    )


def test_a_few_unseen_sources_speak_by_precision_alone() -> None:
    """Too few files to show that false alarms are rare neither allow nor forbid by it."""
    patients = evidence([0.1] * 1000, [0.99] * 1000)
    clean = evidence([0.1] * 50, [0.99] * 50)
    assert choose_threshold([patients, clean], TAG, FAMILIAR) is not None
    bad = evidence([0.999] * 25 + [0.1] * 25, [0.99] * 50)
    found = choose_threshold([patients, bad], TAG, FAMILIAR)
    assert found is None


def test_what_is_far_away_is_not_judged() -> None:
    """Images that are too strange raise no alarm and find nothing."""
    far = evidence([0.99] * 1000, [0.99] * 1000, novelty=2.0)
    near = evidence([0.1] * 1000, [0.99] * 1000)
    assert choose_threshold([far], TAG, FAMILIAR) is None
    assert choose_threshold([near, far], TAG, FAMILIAR) == pytest.approx(0.5, abs=1e-4)


def test_the_probability_rises_with_the_score() -> None:
    """The map from score to probability is monotone and within bounds."""
    rng = np.random.default_rng(2)
    right, wrong = rng.beta(1, 8, 1000), rng.beta(12, 1, 1000)
    tag = calibrate([evidence(right.tolist(), wrong.tolist())]).tags[TAG]
    assert tag.threshold is not None
    assert np.all(np.diff(tag.probability_knots) >= 0)
    assert np.all(np.diff(tag.score_knots) > 0)
    assert 0 < tag.probability_knots[0] < 0.2
    assert 0.8 < tag.probability_knots[-1] < 1


def test_what_is_suppressed_has_a_probability_of_its_own() -> None:
    """Strange pictures just below the threshold are told as they are, not as flags are."""
    rng = np.random.default_rng(6)
    n = 4000
    strange = np.arange(n) % 10 == 0
    right = np.where(strange, rng.uniform(0, 1, n), rng.beta(1, 30, n))
    wrong = np.where(strange, rng.uniform(0, 1, n), rng.beta(30, 1, n))
    one = evidence(right.tolist(), wrong.tolist())
    one.novelty[strange] = 0.9
    tag = _tag_calibration([one], TAG, familiar=0.6, limit=1.0)
    assert tag.threshold is not None
    said = calibrated(tag, np.array([0.9, 0.999]) * tag.threshold)
    assert (said < 0.3).all()
    assert calibrated(tag, np.array([0.99])) > 0.9


def test_the_order_of_scores_is_kept() -> None:
    """A higher score never has the same probability as a lower one, even near 1."""
    rng = np.random.default_rng(7)
    one = evidence(rng.beta(1, 20, 2000).tolist(), rng.beta(20, 1, 2000).tolist())
    tag = calibrate([one]).tags[TAG]
    scores = np.array([0.1, 0.2, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999])
    assert (np.diff(calibrated(tag, scores)) > 0).all()


def poisoned(share: float) -> HeldOutEvidence:
    """Return evidence of which a share of the received values is wrong itself."""
    rng = np.random.default_rng(8)
    right, wrong = rng.beta(1, 40, 2000), rng.beta(40, 1, 2000)
    count = int(share * 2000)
    right[:count] = rng.beta(40, 1, count)
    return evidence(right.tolist(), wrong.tolist())


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_wrong_tags_among_the_held_out_are_counted(share: float) -> None:
    """The share of received values that are wrong themselves is found, never exceeded."""
    one = poisoned(share)
    found = contamination(one.right[TAG], one.wrong[TAG])
    assert 0.7 * share <= found <= share + 0.005


def test_wrong_tags_among_the_held_out_do_not_silence_a_tag() -> None:
    """With every twentieth received value wrong there is a threshold that finds most."""
    tag = calibrate([poisoned(0.05)]).tags[TAG]
    assert tag.threshold is not None
    found = (poisoned(0.05).wrong[TAG] >= tag.threshold).mean()
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
    """5 % of the values are changed, and the mask tells which."""
    right = np.array(["CT", "MR"] * 1000)
    received, is_wrong = inject("Modality", right, np.random.default_rng(4))
    np.testing.assert_array_equal(received != right, is_wrong)
    assert 0.03 < is_wrong.mean() < 0.07
