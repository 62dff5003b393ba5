"""Scores of received values, row by row."""

import numpy as np
import pytest

from tests.builders.manifests import calibration, detected, manifest
from veritag.bundles.manifest import BundleManifest
from veritag.judging.manifest_tables import tables_of
from veritag.judging.tag_probabilities import Floats
from veritag.judging.tag_scores import (
    TagScores,
    is_known_kind,
    is_unfamiliar,
    tag_scores,
)

TAG = "BodyPartExamined"
HEAD = np.array([[0.02, 0.02, 0.9, 0.02, 0.02, 0.02]])
"""Probabilities of CHEST, ABDOMEN, HEAD, NECK, HAND and WRIST on one picture."""


def scores(
    received: str | None,
    bundle: BundleManifest | None = None,
    *,
    modality: str | None = "CT",
    unfamiliar: bool = False,
    supported: bool = False,
) -> TagScores:
    """Return the scores of one value on the picture of a head."""
    return tag_scores(
        tables_of(bundle or manifest()),
        TAG,
        HEAD,
        [received],
        [modality],
        unfamiliar=np.array([unfamiliar]),
        supported=np.array([supported]),
    )


def test_a_value_that_does_not_fit_is_flagged() -> None:
    """CHEST on a head is wrong but for CHEST itself and half of the neighboring NECK."""
    wrong = scores("CHEST")
    np.testing.assert_allclose(wrong.score, [0.97])
    np.testing.assert_allclose(wrong.probability, [0.97])
    assert wrong.flagged.tolist() == [True]
    assert scores("HEAD").flagged.tolist() == [False]


@pytest.mark.parametrize(
    ("received", "bundle"),
    [
        (None, manifest()),
        ("", manifest()),
        ("KNEE", manifest()),
        ("CHEST", manifest(detectability=(detected(TAG, "CHEST", "CT", judged=False),))),
        ("CHEST", manifest(calibration={TAG: calibration(None)})),
        ("CHEST", manifest(calibration={})),
    ],
)  # fmt: skip
def test_a_value_that_may_not_be_judged_has_no_score(
    received: str | None, bundle: BundleManifest
) -> None:
    """Absent, unlearnt and undetectable values, and tags without threshold, are NaN."""
    unjudged = scores(received, bundle)
    assert np.isnan(unjudged.score).all()
    assert np.isnan(unjudged.probability).all()
    assert not unjudged.flagged.any()


def test_unfamiliar_rows_keep_their_order_below_the_threshold() -> None:
    """Their scores are scaled by the threshold."""
    wrong, right = (scores(v, unfamiliar=True).score[0] for v in ("CHEST", "HEAD"))
    assert 0 < right < wrong < 0.8


def test_supported_values_stay_below_the_threshold_only_if_they_reach_it() -> None:
    """A score below the threshold is not changed."""
    assert scores("CHEST", supported=True).score[0] < 0.8
    assert scores("HEAD", supported=True).score == scores("HEAD").score


def test_novelty_of_one_is_known_and_nan_is_not() -> None:
    """Known and unfamiliar are read from the same novelty."""
    novelty: Floats = np.array([0.5, 0.8, 1.0, 1.1, np.nan])
    assert is_known_kind(novelty).tolist() == [True, True, True, False, False]
    unfamiliar = is_unfamiliar(manifest(familiar=0.7), novelty)
    assert unfamiliar.tolist() == [False, True, True, True, False]
