"""Pictures that are set apart, and series of several kinds."""

import pytest

from tests.builders.manifests import manifest
from tests.builders.verdicts import DX, SC, tags, verdict
from tests.unit.veritag.judging.checks.builders import received
from veritag.findings import Finding, FindingCode, Verdict
from veritag.judging.checks import series_facts
from veritag.judging.judge import judge_series
from veritag.judging.series_picture import picture_of

MR = {"Modality": "MR"}
LOCALIZER = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def mixed(series: list[Verdict]) -> list[Finding]:
    """Return the findings of the code MIXED_SERIES."""
    findings = judge_series(manifest(), series).findings
    return [f for f in findings if f.code is FindingCode.MIXED_SERIES]


def apart(series: list[Verdict]) -> int:
    """Return how many pictures are set apart."""
    return picture_of(manifest(), series).apart


def test_a_scout_in_a_stack_is_set_apart() -> None:
    """One coronal picture among axial ones is left out of the series."""
    scout = verdict({"ImageOrientationPatient": "CORONAL", "BodyPartExamined": "HEAD"})
    picture = picture_of(manifest(), [scout, *[verdict()] * 9])
    assert (picture.known, picture.apart, len(picture.verdicts)) == (10, 1, 9)
    assert picture.counts()["set_apart"] == 1


def test_a_localizer_is_known_by_its_image_type() -> None:
    """LOCALIZER as value 3 of Image Type sets a picture apart, if few have it."""
    scout = verdict(facts=series_facts(received(ImageType=LOCALIZER)))
    other = [*LOCALIZER[:2], "AXIAL", "LOCALIZER"]
    usual = verdict(facts=series_facts(received(ImageType=other)))
    assert apart([scout, *[usual] * 3]) == 1
    assert apart([scout] * 3) == 0
    assert apart([usual] * 3) == 0


def test_a_screenshot_beside_images_is_set_apart() -> None:
    """A Secondary Capture among CT images is left out; a series of them is judged."""
    assert apart([verdict(MR, sop_class=SC), *[verdict()] * 3]) == 1
    assert apart([verdict(MR, sop_class=f"{SC}.4"), *[verdict()] * 3]) == 1
    assert apart([verdict(sop_class=SC)] * 3) == 0


@pytest.mark.parametrize(
    "sop_class", [f"{SC}7.1.1", f"{SC}7.1.6", f"{SC}9.1", f"{SC}8.1"]
)
def test_a_longer_number_is_no_screenshot(sop_class: str) -> None:
    """Classes of endoscopy, slides and the eye are no Secondary Capture."""
    assert apart([verdict(sop_class=sop_class), *[verdict()] * 3]) == 0


def test_the_odd_pictures_are_never_most_of_the_series() -> None:
    """If half of the series would be set apart, none is."""
    facts = series_facts(received(ImageType=LOCALIZER))
    series = [verdict(facts=facts), verdict(sop_class=SC), verdict(), verdict()]
    assert apart(series) == 0


def test_a_series_of_two_kinds_of_pictures_is_mixed() -> None:
    """A third of MR pictures in a series of CT is found."""
    [finding] = mixed([*[verdict()] * 8, *[verdict(MR)] * 4])
    assert finding.tag is None
    assert finding.evidence["by"] == "Modality"
    assert finding.evidence["kinds"] == [
        {"value": "CT", "instances": 8},
        {"value": "MR", "instances": 4},
    ]


@pytest.mark.parametrize(
    "others",
    [
        [verdict(MR)] * 2,
        [verdict(MR, 0.6)] * 6,
        [verdict({"BodyPartExamined": "NECK"})] * 6,
        [verdict({"BodyPartExamined": "HEAD"})] * 6,
    ],
)
def test_few_unsure_or_neighboring_pictures_mix_no_series(
    others: list[Verdict],
) -> None:
    """Two odd pictures, uncertain ones, and neighboring regions mix no series."""
    assert mixed([*[verdict()] * 12, *others]) == []


def test_projections_of_two_body_parts_are_mixed() -> None:
    """Radiographs of hands and of chests in one series are found."""
    x_ray, hands = {"Modality": "DX"}, {"Modality": "DX", "BodyPartExamined": "HAND"}
    chest = verdict(x_ray, sop_class=DX, tags=tags(**x_ray))
    hand = verdict(hands, sop_class=DX, tags=tags(**x_ray))
    [finding] = mixed([*[chest] * 4, *[hand] * 3])
    assert finding.evidence["by"] == "BodyPartExamined"


def test_tags_that_differ_are_told_once() -> None:
    """Two Modalities in the tags are found by the rule only."""
    other = verdict(MR, tags=tags(Modality="MR"), sop_class="")
    [finding] = mixed([*[verdict()] * 6, *[other] * 5])
    assert finding.tag == "Modality"
    assert "values" in finding.evidence
