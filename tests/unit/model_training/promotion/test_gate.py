"""The gate on pairs of challenger and champion."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_training.evaluation.compare_bundles import FigureChange, compare
from model_training.evaluation.evaluation import evaluate_bundle
from model_training.promotion.gate import GateConfig, GateDecision, decide_promotion
from model_training.snapshots.snapshot import Snapshot
from tests.bundles import Profiles, make_bundle
from tests.unit.model_training.promotion.gate_bundles import (
    KINDS,
    changed_bundle,
    reference_images,
    relabelled,
)
from veritag.bundles.bundle import ModelBundle

CONFIG = GateConfig(least_images=60, least_patients=12)
HEAD_OR_ABDOMEN = {"BodyPartExamined": {"HEAD": 0.98, "ABDOMEN": 0.02}}


@pytest.fixture(scope="module")
def reference() -> Snapshot:
    """108 images of 36 patients."""
    return reference_images()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """A bundle that knows all four kinds of the reference, and the value ABDOMEN."""
    return made(tmp_path_factory.mktemp("good"))


def made(
    folder: Path,
    profiles: Mapping[str, Profiles] | None = None,
    unknown: Sequence[str] = (),
) -> ModelBundle:
    """Return a bundle of the four kinds, see `tests.bundles.make_bundle`."""
    plain = make_bundle(
        folder / "plain",
        KINDS,
        profiles={"CT-HEAD": HEAD_OR_ABDOMEN, **(profiles or {})},
        unknown=unknown,
    )
    return changed_bundle(plain, folder / "bundle", calibrated)


def calibrated(body: dict[str, Any]) -> None:
    """Make scores far from the middle nearly certain, as they are on phantoms."""
    for calibration in body["calibration"].values():
        calibration["score_knots"] = [0.0, 0.5, 0.7, 1.0]
        calibration["probability_knots"] = [0.01, 0.02, 0.98, 0.99]


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """The same, but two of the kinds are unknown to it."""
    return made(tmp_path_factory.mktemp("narrow"), unknown=KINDS[2:])


def decide(
    challenger: ModelBundle,
    champion: ModelBundle,
    reference: Snapshot,
    config: GateConfig = CONFIG,
) -> GateDecision:
    """Return the gate's decision on two bundles."""
    return decide_promotion(
        evaluate_bundle(challenger, reference),
        evaluate_bundle(champion, reference),
        config,
    )


def test_a_better_bundle_is_promoted(
    good: ModelBundle, narrow: ModelBundle, reference: Snapshot
) -> None:
    """A bundle that knows more kinds and finds more wrong tags is promoted."""
    decision = decide(good, narrow, reference)
    assert decision.outcome == "promoted"
    assert any("wrong tags that are found is better" in r for r in decision.reasons)


def test_a_worse_bundle_is_kept_out(
    good: ModelBundle, narrow: ModelBundle, reference: Snapshot
) -> None:
    """The champion stays, and the reasons name the worse figures."""
    decision = decide(narrow, good, reference)
    assert decision.outcome == "kept"
    assert any("unknown kind is worse" in reason for reason in decision.reasons)


def test_an_equal_bundle_changes_nothing(
    tmp_path: Path, good: ModelBundle, reference: Snapshot
) -> None:
    """A bundle with equal figures is not promoted."""
    twin = changed_bundle(
        good, tmp_path / "twin", lambda b: b.update(created_at="2026-02-02")
    )
    assert twin.bundle_id != good.bundle_id
    assert decide(twin, good, reference).reasons == (
        "no figure is better beyond its noise",
    )
    assert decide(good, good, reference).reasons == ("it is the bundle that is in use",)


def test_few_images_decide_nothing(
    good: ModelBundle, narrow: ModelBundle, reference: Snapshot
) -> None:
    """With a small reference set the champion stays; the reason names the number needed."""
    decision = decide(good, narrow, reference, GateConfig(least_images=1000))
    assert decision.outcome == "undecided"
    assert "108 images, and 1000 are needed" in decision.reasons[0]
    decision = decide(good, narrow, reference, GateConfig(60, least_patients=50))
    assert "36 patients, and 50 are needed" in decision.reasons[0]


def wrong_region(folder: Path) -> ModelBundle:
    """Return a bundle that takes chest CTs for CTs of the abdomen."""
    shares = {"BodyPartExamined": {"ABDOMEN": 0.97, "CHEST": 0.03}}
    return made(folder, {"CT-CHEST": shares})


def test_a_bundle_of_systematically_wrong_tags_is_stopped(
    tmp_path: Path, good: ModelBundle, reference: Snapshot
) -> None:
    """A bundle that takes chest CTs for ABDOMEN flags right tags and is kept out."""
    poisoned = wrong_region(tmp_path)
    decision = decide(poisoned, good, reference)
    assert decision.outcome == "kept"
    assert any("right tags that are flagged is worse" in r for r in decision.reasons)
    assert any("were not before" in r for r in decision.reasons)


def test_a_reference_that_is_wrong_in_the_same_way_shows_in_the_flag_rate(
    tmp_path: Path, good: ModelBundle, reference: Snapshot
) -> None:
    """Better figures do not help a bundle that lacks flags of the champion."""
    poisoned = wrong_region(tmp_path)
    decision = decide(poisoned, good, relabelled(reference, "ABDOMEN", "CT CHEST"))
    assert decision.outcome == "kept"
    assert all("were flagged before and are not by it" in r for r in decision.reasons)


def test_a_collapsed_bundle_is_refused_outright(
    tmp_path: Path, good: ModelBundle, reference: Snapshot
) -> None:
    """A bundle with all images in one cluster is kept out."""
    collapsed = make_bundle(tmp_path / "one", KINDS[:1])
    decision = decide(collapsed, good, reference)
    assert decision.outcome == "kept"
    assert "collapsed" in decision.reasons[0]


def test_a_champion_that_flags_nothing_has_no_precision_to_lose(
    tmp_path: Path, good: ModelBundle, reference: Snapshot
) -> None:
    """Against a champion without flags, recall counts if nearly every flag is right."""

    def remove_thresholds(body: dict[str, Any]) -> None:
        for calibration in body["calibration"].values():
            calibration["threshold"] = None

    unflagging = changed_bundle(good, tmp_path / "unflagging", remove_thresholds)
    decision = decide(good, unflagging, reference)
    assert decision.outcome == "promoted"
    careless = evaluate_bundle(wrong_region(tmp_path / "careless"), reference)
    compared = compare(careless, evaluate_bundle(unflagging, reference), CONFIG.noise)
    verdicts = {c.name: c.verdict for c in compared}
    assert (verdicts["precision"], verdicts["false_alarm_rate"]) == (
        FigureChange.WORSE,
        FigureChange.WORSE,
    )


def test_false_alarms_within_the_promise_are_not_worse(
    good: ModelBundle, reference: Snapshot
) -> None:
    """A rate of false alarms below the promised one is not worse than none."""
    old, new = (evaluate_bundle(good, reference) for _ in range(2))
    answers = new.predictions.tags["Modality"]
    answers.right.flagged[0] = True
    verdicts = {c.name: c for c in compare(new, old, CONFIG.noise)}
    rate = verdicts["false_alarm_rate"]
    assert 0 < (rate.challenger or 0) < 0.01
    assert rate.verdict == FigureChange.SAME


def test_evaluations_of_different_images_are_never_compared(
    good: ModelBundle, reference: Snapshot
) -> None:
    """Evaluations of different images are an error."""
    fewer = replace(reference, tiles=reference.tiles[1:], samples=reference.samples[1:])
    with pytest.raises(ValueError, match="different images"):
        decide_promotion(
            evaluate_bundle(good, reference), evaluate_bundle(good, fewer), CONFIG
        )


def test_a_decision_is_kept_as_json(good: ModelBundle, reference: Snapshot) -> None:
    """The stored decision has outcome, reasons, figures and the size of the reference."""
    kept = decide(good, good, reference).as_json()
    assert kept["outcome"] == "kept"
    assert {f["name"] for f in kept["figures"]} >= {"nmi_region", "recall"}
    assert kept["reference"] == {"images": 108, "patients": 36}
