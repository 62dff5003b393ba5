"""Evaluation of a sealed bundle on images that it was not trained on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_training.evaluation.evaluation import Evaluation, evaluate_bundle
from model_training.snapshots.samples import Sample
from model_training.snapshots.snapshot import Snapshot
from tests.bundles import make_bundle
from tests.unit.model_training.promotion.gate_bundles import KINDS, reference_images
from veritag.bundles.bundle import ModelBundle
from veritag.errors import StopError
from veritag.findings import TagValue, VerdictStatus
from veritag.judging.judge import judge_series
from veritag.pixels.preprocessing import Preprocessing
from worker.inference import Model
from worker.preparation import Prepared
from worker.verdicts import verdicts_of


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """A bundle that knows four kinds."""
    return make_bundle(tmp_path_factory.mktemp("all") / "bundle", KINDS)


@pytest.fixture(scope="module")
def reference() -> Snapshot:
    """Images of the same four kinds, and of one that is unknown to the bundle."""
    return reference_images((*KINDS, "US-ABDOMEN"), patients=5)


@pytest.fixture(scope="module")
def evaluation(bundle: ModelBundle, reference: Snapshot) -> Evaluation:
    """The bundle's figures on them."""
    return evaluate_bundle(bundle, reference)


def test_an_image_is_judged_as_the_worker_judges_a_series_of_it(
    bundle: ModelBundle, reference: Snapshot, evaluation: Evaluation
) -> None:
    """Findings and probabilities are those of the judge, image by image."""
    model = Model(bundle)
    compared = 0
    for row in range(0, len(reference), 3):
        outputs = model.run(reference.tiles[row : row + 1])
        for tag, predictions in evaluation.predictions.tags.items():
            value = str(evaluation.questions.tags[tag].wrong[row])
            if not value:
                continue
            tags: dict[str, TagValue] = {**reference.samples[row].tags, tag: value}
            prepared = Prepared(VerdictStatus.INSPECTED, tags=tags, sop_class_uid="1.2")
            series = judge_series(
                bundle.manifest, verdicts_of(bundle, [prepared], outputs)
            )
            (judgement,) = (j for j in series.judgements if j.tag == tag)
            assert judgement.flagged == predictions.wrong.flagged[row]
            probability = predictions.wrong.probability[row]
            if judgement.probability_wrong is None:
                assert np.isnan(probability)
            else:
                assert probability == pytest.approx(
                    judgement.probability_wrong, abs=1e-6
                )
            compared += 1
    assert compared > 40


def test_a_good_bundle_has_good_figures(evaluation: Evaluation) -> None:
    """Each kind has a cluster, wrong tags are found, right ones are not flagged."""
    figures = evaluation.figures
    assert (evaluation.images, evaluation.patients) == (75, 25)
    assert (figures["nmi_region"] or 0) > 0.8
    assert (figures["recall"] or 0) > 0.3
    assert figures["false_alarm_rate"] == 0
    assert figures["precision"] == 1
    assert 0.1 < (figures["unknown"] or 0) < 0.3
    assert figures["review_agreement"] is None


def test_questions_are_the_same_for_every_bundle(
    tmp_path: Path, reference: Snapshot, evaluation: Evaluation
) -> None:
    """Injected errors depend on images and seed, not on the bundle."""
    other = evaluate_bundle(make_bundle(tmp_path / "b", KINDS[:2]), reference)
    for tag, question in other.questions.tags.items():
        same = evaluation.questions.tags[tag]
        assert question.wrong.tolist() == same.wrong.tolist()
        assert not ((question.wrong != "") & (question.wrong == question.right)).any()


def test_agreement_with_reviewers_is_about_the_value_as_it_came(
    bundle: ModelBundle,
) -> None:
    """A corrected value that is flagged and a dismissed one that is not both agree."""
    plain = reference_images(("CT-HEAD",), patients=2, instances=1)
    right = plain.samples[0].tags["BodyPartExamined"]
    tag = frozenset({"BodyPartExamined"})
    cases = [
        replace(plain.samples[0], verified=tag, received={"BodyPartExamined": "KNEE"}),
        replace(plain.samples[1], verified=tag, received={"BodyPartExamined": right}),
    ]
    asked = replace(plain, samples=tuple(cases))
    assert evaluate_bundle(bundle, asked).figures["review_agreement"] == 1
    wrong = [
        cases[0],
        Sample(
            {**plain.samples[1].tags, "BodyPartExamined": "FOOT"}, "p", "test",
            verified=tag, received={"BodyPartExamined": right},
        ),
    ]  # fmt: skip
    missed = replace(plain, samples=tuple(wrong))
    assert evaluate_bundle(bundle, missed).figures["review_agreement"] == 0.5


def test_tiles_of_another_size_are_refused(bundle: ModelBundle) -> None:
    """Tiles of another size than the bundle's are refused."""
    other = replace(reference_images(patients=1), preprocessing=Preprocessing(size=32))
    with pytest.raises(StopError, match="reads tiles"):
        evaluate_bundle(bundle, other)
