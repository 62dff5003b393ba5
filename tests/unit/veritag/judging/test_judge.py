"""Judging of series: findings by picture and by rule."""

import json
from dataclasses import asdict, replace

import pytest

from tests.builders import manifests as builders
from tests.builders import verdicts
from tests.builders.manifests import calibration
from tests.builders.verdicts import CT, MR, SC, SR, uninspected
from veritag.bundles.manifest import BundleManifest, ClusterProfile
from veritag.findings import (
    Defect,
    Finding,
    FindingCode,
    SeriesJudgement,
    Severity,
    TagValue,
    Verdict,
    VerdictStatus,
)
from veritag.judging.judge import judge_series

CHEST_CT, BRAIN_MR, KNEE_MR = 0, 1, 2
PICTURES: tuple[dict[str, dict[str, float]], ...] = (
    {"Modality": {"CT": 1.0}, "BodyPartExamined": {"CHEST": 0.9, "LUNG": 0.1}},
    {"Modality": {"MR": 1.0}, "BodyPartExamined": {"BRAIN": 0.6, "HEAD": 0.4}},
    {"Modality": {"MR": 1.0}, "BodyPartExamined": {"KNEE": 1.0}},
)
"""Shares of the concepts of three kinds of pictures."""
EVEN = {"GE": 0.5, "SIEMENS": 0.5}
CONCEPTS = {
    "Modality": ("CT", "MR"),
    "BodyPartExamined": ("CHEST", "LUNG", "BRAIN", "HEAD", "KNEE"),
    "Manufacturer": ("GE", "SIEMENS"),
}


def manifest(
    threshold: float | None = 0.7, modalities: tuple[str, ...] = CONCEPTS["Modality"]
) -> BundleManifest:
    """Return the manifest of a bundle that knows three kinds of pictures."""
    return builders.manifest(
        clusters=tuple(ClusterProfile(10 + index, {}, {}) for index in range(3)),
        calibration={
            "Modality": calibration(threshold),
            "BodyPartExamined": calibration(threshold),
            "Manufacturer": calibration(None),
        },
        concepts={**CONCEPTS, "Modality": modalities},
        correlation={},
        neighbor_concepts={},
    )


def verdict(
    cluster: int = CHEST_CT,
    *,
    novelty: float = 0.5,
    sop_class: str = CT,
    **tags: TagValue,
) -> Verdict:
    """Return the verdict of a picture that is nearly surely of one of the kinds."""
    q = [0.02, 0.02, 0.02]
    q[cluster] = 0.96
    row = [
        sum(w * kind.get(tag, EVEN).get(c, 0.0) for w, kind in zip(q, PICTURES, strict=True))
        for tag, concepts in CONCEPTS.items()
        for c in concepts
    ]  # fmt: skip
    return verdicts.verdict(
        tags=dict(tags),
        sop_class=sop_class,
        cluster=10 + cluster,
        novelty=novelty,
        soft_assignment=tuple(q),
        tag_probability=tuple(row),
        neighbors=(),
    )


def judge(*verdicts: Verdict, conflicts: int = 0) -> SeriesJudgement:
    """Return the judgement of a series by the bundle of three kinds."""
    return judge_series(manifest(), verdicts, conflicts=conflicts)


def codes(judgement: SeriesJudgement) -> set[FindingCode]:
    """Return the codes of the findings."""
    return {f.code for f in judgement.findings}


def only(judgement: SeriesJudgement, code: FindingCode) -> Finding:
    """Return the only finding of a code."""
    [finding] = [f for f in judgement.findings if f.code is code]
    return finding


def test_a_series_in_order_has_no_findings() -> None:
    """Tags that fit the picture are judged and not flagged."""
    judgement = judge(*[verdict(Modality="CT", BodyPartExamined="CHEST")] * 5)
    assert judgement.findings == ()
    assert judgement.instances == 5
    assert {j.tag: j.observed for j in judgement.judgements} == {
        "Modality": "CT",
        "BodyPartExamined": "CHEST",
    }
    assert all((j.probability_wrong or 0) < 0.1 for j in judgement.judgements)


def test_a_wrong_body_part_is_flagged_with_what_the_picture_shows() -> None:
    """The finding has the observed and the expected value and its evidence."""
    judgement = judge(*[verdict(Modality="CT", BodyPartExamined="KNEE")] * 3)
    finding = only(judgement, FindingCode.TAG_CONTRADICTS_IMAGE)
    assert (finding.tag, finding.observed) == ("BodyPartExamined", "KNEE")
    assert finding.severity is Severity.ERROR
    assert finding.expected[0].value == "CHEST"
    assert finding.score > 0.9
    assert finding.evidence["known"] == 3
    assert finding.evidence["clusters"][0] == {"cluster": 10, "weight": 0.96}
    assert finding.evidence["threshold"] == 0.7


@pytest.mark.parametrize("part", ["HEAD", "BRAIN", "HEADNECK", "SKULL", "WHOLEBODY"])
def test_values_are_compared_by_anatomy(part: str) -> None:
    """A finer, a coarser and a neighbouring region fit the same picture."""
    series = [verdict(BRAIN_MR, sop_class=MR, Modality="MR", BodyPartExamined=part)] * 3
    assert FindingCode.TAG_CONTRADICTS_IMAGE not in codes(judge(*series))


def test_one_odd_slice_is_no_finding() -> None:
    """A picture of another kind within the series does not outweigh the rest."""
    usual = verdict(Modality="CT", BodyPartExamined="CHEST")
    odd = verdict(KNEE_MR, Modality="CT", BodyPartExamined="CHEST")
    assert judge(*[usual] * 19, odd).findings == ()


def test_a_tag_without_threshold_is_never_flagged() -> None:
    """Without a threshold there is neither a finding nor a probability."""
    series = [verdict(Modality="MR", BodyPartExamined="KNEE", sop_class=SC)] * 3
    judgement = judge_series(manifest(threshold=None), series)
    assert judgement.findings == ()
    assert [j.probability_wrong for j in judgement.judgements] == [None, None]
    manufacturer = judge(*[verdict(Modality="CT", Manufacturer="PHILIPS")] * 2)
    assert manufacturer.judgements[-1].probability_wrong is None


def test_an_unknown_kind_of_picture_is_not_judged() -> None:
    """With most pictures of an unknown kind the only finding is UNKNOWN_KIND."""
    series = [verdict(novelty=1.5, Modality="CT", BodyPartExamined="KNEE")] * 3
    judgement = judge(*series, verdict(Modality="CT", BodyPartExamined="KNEE"))
    assert judgement.unknown_kind
    assert codes(judgement) == {FindingCode.UNKNOWN_KIND}
    assert only(judgement, FindingCode.UNKNOWN_KIND).severity is Severity.INFO
    assert all(j.probability_wrong is None for j in judgement.judgements)


def test_a_body_part_that_the_bundle_never_met_is_not_judged() -> None:
    """A value of which the bundle has learnt no picture is not flagged."""
    judgement = judge(*[verdict(Modality="CT", BodyPartExamined="HAND")] * 3)
    assert judgement.findings == ()
    assert judgement.judgements[1].probability_wrong is None


def test_a_modality_known_only_as_other_is_not_judged() -> None:
    """OT fits everything: with OT learnt, the pictures of SM are still unknown."""
    series = [verdict(BRAIN_MR, sop_class=SC, Modality="SM")] * 2
    judgement = judge_series(manifest(modalities=("OT", "MR")), series)
    assert FindingCode.TAG_CONTRADICTS_IMAGE not in codes(judgement)
    assert judgement.judgements[0].probability_wrong is None


def test_a_missing_tag_is_suggested_where_the_picture_is_sure() -> None:
    """BRAIN and HEAD together make HEAD sure; BRAIN alone is not sure enough."""
    judgement = judge(*[verdict(BRAIN_MR, sop_class=MR, Modality="MR")] * 2)
    finding = only(judgement, FindingCode.TAG_MISSING)
    assert finding.tag == "BodyPartExamined"
    assert finding.observed is None
    assert finding.expected[0].value == "HEAD"
    assert finding.severity is Severity.INFO


def test_an_absent_modality_is_an_error_whatever_the_picture() -> None:
    """Modality is Type 1: its absence is an error also for unknown pictures."""
    judgement = judge(verdict(BodyPartExamined="CHEST", novelty=9.0))
    finding = only(judgement, FindingCode.TAG_MISSING)
    assert (finding.tag, finding.severity) == ("Modality", Severity.ERROR)
    assert finding.expected == ()


def test_a_value_too_coarse_is_a_remark() -> None:
    """EXTREMITY on pictures of knees says less than it could."""
    series = [
        verdict(KNEE_MR, sop_class=MR, Modality="MR", BodyPartExamined="EXTREMITY")
    ] * 2
    finding = only(judge(*series), FindingCode.TAG_TOO_COARSE)
    assert finding.severity is Severity.INFO
    assert finding.expected[0].value == "KNEE"


@pytest.mark.parametrize(
    ("value", "severity", "nearest"),
    [
        ("THORAX", Severity.INFO, "CHEST"),
        ("Chest", Severity.INFO, "CHEST"),
        ("CHETS", Severity.WARNING, "CHEST"),
        ("ANNOON", Severity.WARNING, None),
    ],
)
def test_undefined_values_name_the_nearest_term(
    value: str, severity: Severity, nearest: str | None
) -> None:
    """A spelling that is understood is a remark, a riddle is a warning."""
    judgement = judge(*[verdict(Modality="CT", BodyPartExamined=value)] * 2)
    finding = only(judgement, FindingCode.VALUE_NOT_DEFINED)
    assert finding.severity is severity
    assert [e.value for e in finding.expected] == ([nearest] if nearest else [])


def test_a_modality_that_the_sop_class_excludes_is_an_error() -> None:
    """CT Image Storage allows CT only; Secondary Capture allows all."""
    wrong = judge(*[verdict(sop_class=CT, Modality="PT")] * 2)
    finding = only(wrong, FindingCode.MODALITY_CONTRADICTS_SOP_CLASS)
    assert finding.observed == "PT"
    assert [e.value for e in finding.expected] == ["CT"]
    free = judge(*[verdict(sop_class=SC, Modality="PT")] * 2)
    assert FindingCode.MODALITY_CONTRADICTS_SOP_CLASS not in codes(free)


def test_instances_of_several_modalities_make_a_mixed_series() -> None:
    """Modality and body part are one per series; compatible values do not mix it."""
    mixed = [verdict(sop_class=SC, Modality=m) for m in ("CT", "CT", "MR")]
    finding = only(judge(*mixed), FindingCode.MIXED_SERIES)
    assert finding.tag == "Modality"
    assert finding.evidence["values"] == [
        {"value": "CT", "instances": 2},
        {"value": "MR", "instances": 1},
    ]
    fine = [verdict(Modality="CT", BodyPartExamined=p) for p in ("CHEST", "LUNG")]
    assert FindingCode.MIXED_SERIES not in codes(judge(*fine))


def test_unreadable_instances_are_counted_with_their_reasons() -> None:
    """The reasons are counted; the severity is ERROR if most of the series is affected."""
    unread = uninspected(VerdictStatus.UNREADABLE, "the file is empty")
    finding = only(judge(unread), FindingCode.UNREADABLE)
    assert finding.severity is Severity.ERROR
    assert finding.evidence["reasons"] == [
        {"reason": "the file is empty", "instances": 1}
    ]
    fine = [verdict(Modality="CT", BodyPartExamined="CHEST")] * 9
    assert only(judge(unread, *fine), FindingCode.UNREADABLE).severity is (
        Severity.WARNING
    )


def test_reports_without_pixels_are_no_finding() -> None:
    """Only an image object without pixels is a finding."""
    nothing = VerdictStatus.NO_PIXELS
    report = uninspected(nothing, sop_class=SR, Modality="SR")
    assert judge(report, report).findings == ()
    image = uninspected(nothing, "no pixels", Modality="CT")
    assert codes(judge(image)) == {FindingCode.NO_PIXELS}


def test_a_uid_with_two_contents_is_an_error() -> None:
    """Conflicts that the records counted are one finding of the series."""
    fine = verdict(Modality="CT", BodyPartExamined="CHEST")
    finding = only(judge(fine, conflicts=2), FindingCode.DUPLICATE_UID_CONFLICT)
    assert finding.severity is Severity.ERROR
    assert finding.evidence["instances"] == 2


def test_nothing_at_all_is_judged_as_nothing() -> None:
    """A series without verdicts has neither findings nor judgements."""
    judgement = judge()
    assert judgement == SeriesJudgement(0, False, (), ())


def test_what_is_said_is_strict_json() -> None:
    """Findings and evidence hold neither NaN nor types that JSON does not have."""
    series = [verdict(Modality="CT", BodyPartExamined="KNEE", Exposure=12.0)] * 3
    text = json.dumps(asdict(judge(*series)), allow_nan=False)
    assert "TAG_CONTRADICTS_IMAGE" in text


def test_what_a_rule_requires_is_not_suggested_besides() -> None:
    """An absent attribute of Type 1 is found once, by the rule."""
    defect = Defect(
        FindingCode.ATTRIBUTE_MISSING, "BodyPartExamined", None, (), "It is required."
    )
    silent = [replace(v, tags={"Modality": "CT"}) for v in [verdict()] * 3]
    assert FindingCode.TAG_MISSING in codes(judge_series(manifest(), silent))
    required = [replace(v, defects=(defect,)) for v in silent]
    found = codes(judge_series(manifest(), required))
    assert FindingCode.ATTRIBUTE_MISSING in found
    assert FindingCode.TAG_MISSING not in found
