"""Judging of series: pooled pictures, values that are not judged, evidence."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.manifests import detected, manifest
from tests.builders.verdicts import SC, tag_probability, tags, verdict
from veritag.findings import (
    Finding,
    FindingCode,
    Judgement,
    SeriesJudgement,
    Severity,
    Verdict,
)
from veritag.judging.judge import judge_series
from veritag.judging.series_picture import picture_of
from veritag.judging.tag_probabilities import contradiction_scores
from veritag.terms.concepts import fit

CONTRADICTS = FindingCode.TAG_CONTRADICTS_IMAGE
HEAD = {"BodyPartExamined": "HEAD"}


def findings_of(
    judgement: SeriesJudgement, code: FindingCode = CONTRADICTS
) -> list[Finding]:
    """Return the findings of one code."""
    return [f for f in judgement.findings if f.code is code]


def of_tag(judgement: SeriesJudgement, tag: str) -> Judgement:
    """Return the judgement of one tag."""
    return next(j for j in judgement.judgements if j.tag == tag)


def test_a_single_picture_says_in_a_series_what_it_says_by_itself() -> None:
    """Score and probability of one instance are those of its picture."""
    rows = np.array([tag_probability(HEAD, 0.9)])[:, 3:9]
    values = manifest().concepts["BodyPartExamined"]
    alone = contradiction_scores(
        rows, values, ["CHEST"], lambda a, b: fit("BodyPartExamined", a, b)
    )
    judged = of_tag(judge_series(manifest(), [verdict(HEAD, 0.9)]), "BodyPartExamined")
    assert judged.score == pytest.approx(alone[0], abs=1e-6)
    assert judged.probability_wrong == pytest.approx(alone[0], abs=1e-6)
    assert (judged.shows, judged.flagged) == ("HEAD", True)


def test_pictures_that_agree_are_surer_than_one() -> None:
    """Twenty pictures with rho 0.5 count as nearly two."""
    one = of_tag(judge_series(manifest(), [verdict(HEAD, 0.8)]), "BodyPartExamined")
    many = of_tag(
        judge_series(manifest(), [verdict(HEAD, 0.8)] * 20), "BodyPartExamined"
    )
    assert (one.score or 0) < (many.score or 0) < 1
    repeated = manifest(correlation={"BodyPartExamined": 1.0})
    same = of_tag(judge_series(repeated, [verdict(HEAD, 0.8)] * 20), "BodyPartExamined")
    assert same.score == pytest.approx(one.score, abs=1e-5)


def test_a_neighbor_speaks_half_against_a_value() -> None:
    """A picture of WRIST counts half against the value HAND."""
    one = verdict(
        {"BodyPartExamined": "WRIST"}, 1.0, tags=tags(BodyPartExamined="HAND")
    )
    judged = of_tag(judge_series(manifest(), [one]), "BodyPartExamined")
    assert judged.score == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("count", [3, 10, 40])
def test_one_odd_slice_is_no_finding(count: int) -> None:
    """One picture of another body part makes no finding."""
    series = [verdict(HEAD, 0.999), *[verdict()] * (count - 1)]
    assert judge_series(manifest(), series).findings == ()


def test_a_stack_that_ends_elsewhere_is_rightly_called() -> None:
    """CHEST is not flagged where 60 % of the slices show the abdomen."""
    series = [*[verdict()] * 16, *[verdict({"BodyPartExamined": "ABDOMEN"})] * 24]
    assert findings_of(judge_series(manifest(), series)) == []
    neck = [*[verdict()] * 30, *[verdict({"BodyPartExamined": "NECK"})] * 10]
    assert judge_series(manifest(), neck).findings == ()


def test_a_value_that_the_bundle_has_not_shown_to_judge_stays_unjudged() -> None:
    """A row `judged: false` prevents a finding; without a row the value is judged."""
    wrong = [verdict(HEAD)]
    for modality in ("CT", "MR"):
        rows = (detected("BodyPartExamined", "CHEST", modality),)
        assert findings_of(judge_series(manifest(detectability=rows), wrong))
    silent = (detected("BodyPartExamined", "CHEST", "CT", judged=False),)
    judgement = judge_series(manifest(detectability=silent), wrong)
    assert judgement.findings == ()
    assert of_tag(judgement, "BodyPartExamined").probability_wrong is None


def test_a_modality_is_judged_under_its_own_name() -> None:
    """A received Modality MR is looked up in the row of MR."""
    series = [verdict(tags=tags(Modality="MR"), sop_class="")]
    silent = (detected("Modality", "MR", "MR", judged=False),)
    assert not findings_of(judge_series(manifest(detectability=silent), series))
    others = (detected("Modality", "MR", "CT", judged=False),)
    assert findings_of(judge_series(manifest(detectability=others), series))


def test_a_finding_tells_what_it_rests_on() -> None:
    """The evidence has clusters, exemplars, neighbors, hints, study, score, threshold."""
    hints = {"BodyPartExamined": {"SeriesDescription": "HEAD"}}
    series = [verdict(HEAD, hints=hints)] * 3
    siblings = [{"BodyPartExamined": "Head"}, {"Modality": "CT"}]
    judgement = judge_series(manifest(), series, siblings=siblings)
    [finding] = findings_of(judgement)
    assert finding.expected[0].value == "HEAD"
    evidence = finding.evidence
    assert evidence["clusters"][0] == {
        "cluster": 10,
        "name": "CT chest",
        "weight": 0.9,
    }
    assert evidence["exemplars"] == [0, 1, 2]
    assert evidence["neighbors"] == [
        {"value": "CHEST", "images": 6},
        {"value": "ABDOMEN", "images": 3},
    ]
    assert evidence["hints"] == [
        {"source": "SeriesDescription", "value": "HEAD", "instances": 3}
    ]
    assert evidence["study"] == [{"value": "HEAD", "series": 1}]
    assert evidence["support"] == 2
    assert evidence["threshold"] == 0.8
    assert "HEAD" in json.dumps(asdict(judgement), allow_nan=False)


def test_other_sources_rank_equals_and_change_no_probability() -> None:
    """A description that agrees with the picture raises the rank only."""
    both = {"BodyPartExamined": "HEAD", "Modality": "MR"}
    hints = {"Modality": {"X": "MR"}}
    plain = judge_series(manifest(), [verdict(both, 0.99999, sop_class="")] * 2)
    described = judge_series(
        manifest(), [verdict(both, 0.99999, hints=hints, sop_class="")] * 2
    )
    assert [f.tag for f in findings_of(plain)] == ["Modality", "BodyPartExamined"]
    assert [f.tag for f in findings_of(described)] == ["Modality", "BodyPartExamined"]
    swapped = {"BodyPartExamined": {"X": "HEAD"}}
    turned = judge_series(
        manifest(), [verdict(both, 0.99999, hints=swapped, sop_class="")] * 2
    )
    assert [f.tag for f in findings_of(turned)] == ["BodyPartExamined", "Modality"]
    scores = {f.score for one in (plain, described, turned) for f in findings_of(one)}
    assert len(scores) == 1


def test_pictures_hardly_like_the_learnt_ones_flag_nothing() -> None:
    """Scores of unfamiliar pictures keep their order below the threshold."""
    careful = manifest(familiar=0.6)
    near = judge_series(careful, [verdict(HEAD, 0.99, novelty=0.5)])
    assert findings_of(near)
    far = [judge_series(careful, [verdict(HEAD, p, novelty=0.9)]) for p in (0.9, 0.99)]
    assert [one.findings for one in far] == [(), ()]
    scores = [of_tag(one, "BodyPartExamined").score or 0 for one in far]
    assert 0.7 < scores[0] < scores[1] < 0.8
    most = [verdict(HEAD, 0.99, novelty=0.5)] * 3 + [
        verdict(HEAD, 0.99, novelty=0.9)
    ] * 2
    assert findings_of(judge_series(careful, most))
    bare = verdict(novelty=0.9, tags={"Modality": "CT"})
    assert not findings_of(judge_series(careful, [bare]), FindingCode.TAG_MISSING)


def test_a_contradiction_that_all_else_denies_is_no_error() -> None:
    """Descriptions that agree with the tag lower the severity, not the probability."""
    hints = {"BodyPartExamined": {"StudyDescription": "CHEST"}}
    [plain] = findings_of(judge_series(manifest(), [verdict(HEAD, 0.99)]))
    [denied] = findings_of(judge_series(manifest(), [verdict(HEAD, 0.99, hints=hints)]))
    assert (plain.severity, denied.severity) == (Severity.ERROR, Severity.WARNING)
    assert denied.evidence["support"] == -1
    assert plain.score == denied.score


def test_the_sop_class_is_a_witness_of_the_modality() -> None:
    """The SOP Class CT Image Storage supports the Modality CT."""
    pictures = {"Modality": "MR"}
    [ct] = findings_of(judge_series(manifest(), [verdict(pictures, 0.99)]))
    [free] = findings_of(
        judge_series(manifest(), [verdict(pictures, 0.99, sop_class=SC)])
    )
    assert ct.evidence["hints"] == [
        {"source": "SOPClassUID", "value": "CT", "instances": 1}
    ]
    assert (ct.severity, free.severity) == (Severity.WARNING, Severity.ERROR)
    assert "hints" not in free.evidence


@pytest.mark.parametrize(
    "change",
    [
        {"tag_probability": (0.5, 0.5)},
        {"tag_probability": ()},
        {"tag_probability": (float("nan"),) * 12},
        {"soft_assignment": (1.0,)},
        {"soft_assignment": (float("inf"), 0.0)},
    ],
)
def test_a_verdict_of_another_shape_counts_as_not_inspected(
    change: dict[str, tuple[float, ...]],
) -> None:
    """Rows of another length, NaN and infinity are left out."""
    assert judge_series(manifest(), [replace(verdict(HEAD), **change)]).findings == ()  # type: ignore[arg-type]
    picture = picture_of(manifest(), [replace(verdict(HEAD), **change), verdict()])  # type: ignore[arg-type]
    assert (picture.inspected, picture.known) == (1, 1)


def test_a_very_large_series_is_one_series() -> None:
    """5,000 instances give one finding, with all of them counted."""
    judgement = judge_series(manifest(), [verdict(HEAD)] * 5000)
    [finding] = findings_of(judgement)
    assert finding.evidence["instances"] == 5000
    assert finding.severity is Severity.ERROR


probabilities = st.lists(
    st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 1e-300])),
    min_size=12,
    max_size=12,
).map(tuple)


@settings(max_examples=60, deadline=None)
@given(st.lists(probabilities, max_size=6), st.sampled_from([0.0, 0.3, 1.0]))
def test_whatever_the_model_says_the_judgement_is_in_range(
    rows: list[tuple[float, ...]], rho: float
) -> None:
    """Zeros, ones and rows of any sum give scores within 0 and 1."""
    series: list[Verdict] = [verdict(tag_probability=row) for row in rows]
    correlated = manifest(correlation=dict.fromkeys(manifest().concepts, rho))
    judgement = judge_series(correlated, series)
    for one in judgement.judgements:
        assert one.score is None or 0 <= one.score <= 1
    json.dumps(asdict(judgement), allow_nan=False)
