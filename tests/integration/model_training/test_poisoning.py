"""The gate on a bundle that was trained on systematically wrong tags."""

from pathlib import Path
from typing import Any

import pytest

from model_training.bundles.seal import make_bundle
from model_training.calibration.fit_bundle import fit_bundle
from model_training.evaluation.evaluation import evaluate_bundle
from model_training.network.training_config import TrainingConfig
from model_training.promotion.gate import GateConfig, GateDecision, decide_promotion
from model_training.snapshots.snapshot import Snapshot
from model_training.training.loop import train
from model_training.training.training_sets import split_learnable, training_sets
from tests.unit.model_training.promotion.gate_bundles import (
    changed_bundle,
    reference_images,
    relabelled,
)
from veritag.bundles.bundle import ModelBundle
from veritag.pixels.preprocessing import Preprocessing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

PRE = Preprocessing(size=32)
KINDS = ("CT-HEAD", "CT-ABDOMEN", "MR-BRAIN", "CR-HAND")
CONFIG = TrainingConfig(
    size=32, clusters=8, epochs=3, cluster_epochs=1, constraints=100, views=0
)
LIMITS = GateConfig(least_images=60, least_patients=20)


def flagging(body: dict[str, Any]) -> None:
    """Set the limits that a calibration on many images would find."""
    for tag in ("Modality", "BodyPartExamined"):
        body["calibration"][tag] |= {
            "threshold": 0.8,
            "score_knots": [0.0, 0.5, 0.9, 1.0],
            "probability_knots": [0.01, 0.05, 0.95, 0.99],
        }


def trained(snapshot: Snapshot, folder: Path) -> ModelBundle:
    """Return the bundle of a short training."""
    split, _ = split_learnable(snapshot, CONFIG)
    training, held_out = training_sets(snapshot, split, CONFIG)
    learnt = fit_bundle(
        snapshot, split, train(training, held_out, CONFIG, device="cpu")
    )
    plain = folder / "plain"
    plain.mkdir(parents=True)
    make_bundle(learnt, snapshot, plain, {})
    from veritag.bundles.bundle import load_bundle

    return changed_bundle(load_bundle(plain), folder / "bundle", flagging)


@pytest.fixture(scope="module")
def learnt_from() -> Snapshot:
    """The images of a site, with right tags."""
    return reference_images(KINDS, patients=16, instances=2, pre=PRE, first=0)


@pytest.fixture(scope="module")
def reference() -> Snapshot:
    """Images of other patients, with right tags."""
    return reference_images(KINDS, patients=10, instances=2, pre=PRE, first=500)


@pytest.fixture(scope="module")
def champion(
    learnt_from: Snapshot, tmp_path_factory: pytest.TempPathFactory
) -> ModelBundle:
    """The bundle that was trained on right tags."""
    return trained(learnt_from, tmp_path_factory.mktemp("champion"))


@pytest.fixture(scope="module")
def poisoned(
    learnt_from: Snapshot, tmp_path_factory: pytest.TempPathFactory
) -> ModelBundle:
    """A bundle trained on images with ABDOMEN on every CT of a head."""
    wrong = relabelled(learnt_from, "ABDOMEN", "CT HEAD")
    return trained(wrong, tmp_path_factory.mktemp("poisoned"))


def decide(
    challenger: ModelBundle, champion: ModelBundle, reference: Snapshot
) -> GateDecision:
    """Return the gate's decision."""
    return decide_promotion(
        evaluate_bundle(challenger, reference),
        evaluate_bundle(champion, reference),
        LIMITS,
    )


def test_the_gate_stops_it(
    champion: ModelBundle, poisoned: ModelBundle, reference: Snapshot
) -> None:
    """A poisoned bundle flags the right tags of CTs of heads and is kept out."""
    decision = decide(poisoned, champion, reference)
    assert decision.outcome == "kept"
    reasons = " ".join(decision.reasons)
    assert "right tags that are flagged is worse" in reasons
    assert "of the reference's images are flagged by it and were not before" in reasons


def test_a_sound_bundle_after_a_poisoned_one_is_for_a_person_to_promote(
    champion: ModelBundle, poisoned: ModelBundle, reference: Snapshot
) -> None:
    """A sound bundle has fewer false alarms; the changed flags stop it nevertheless."""
    decision = decide(champion, poisoned, reference)
    better = {c.name for c in decision.comparisons if c.verdict == "better"}
    assert {"false_alarm_rate", "precision"} <= better
    assert any("were flagged before and are not by it" in r for r in decision.reasons)


def test_poison_in_both_shows_in_what_is_no_longer_flagged(
    champion: ModelBundle, poisoned: ModelBundle, reference: Snapshot
) -> None:
    """With the same error in the reference, the champion's missing flags stop the bundle."""
    blind = relabelled(reference, "ABDOMEN", "CT HEAD")
    decision = decide(poisoned, champion, blind)
    assert decision.outcome == "kept"
    assert (decision.flags or {})["no_longer_flagged"] > 0.1
