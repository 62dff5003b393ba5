"""Odd pictures of a series, and series of several kinds."""

import pytest

from tests.unit.veritag.judging.checks.builders import received
from tests.unit.veritag.judging.seeing import DX, SC, manifest, seen, tags
from veritag.findings import Finding, FindingCode, Verdict
from veritag.judging.checks import series_facts
from veritag.judging.judge import judge_series
from veritag.judging.series_picture import picture_of

MR = {"Modality": "MR"}
LOCALIZER = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def mixed(series: list[Verdict]) -> list[Finding]:
    """Return the findings that the series is mixed."""
    findings = judge_series(manifest(), series).findings
    return [f for f in findings if f.code is FindingCode.MIXED_SERIES]


def apart(series: list[Verdict]) -> int:
    """Return how many pictures are set apart."""
    return picture_of(manifest(), series).apart


def test_a_scout_in_a_stack_is_set_apart() -> None:
    """One coronal picture among axial ones says nothing of the series."""
    scout = seen({"ImageOrientationPatient": "CORONAL", "BodyPartExamined": "HEAD"})
    picture = picture_of(manifest(), [scout, *[seen()] * 9])
    assert (picture.known, picture.apart, len(picture.rows)) == (10, 1, 9)
    assert picture.counts()["set_apart"] == 1


def test_a_localizer_is_known_by_its_image_type() -> None:
    """Value 3 of ImageType tells, as long as it is not most of the series."""
    scout = seen(facts=series_facts(received(ImageType=LOCALIZER)))
    other = [*LOCALIZER[:2], "AXIAL", "LOCALIZER"]
    usual = seen(facts=series_facts(received(ImageType=other)))
    assert apart([scout, *[usual] * 3]) == 1
    assert apart([scout] * 3) == 0
    assert apart([usual] * 3) == 0


def test_a_screenshot_beside_images_is_set_apart() -> None:
    """A Secondary Capture among CT images is no witness; a series of them is."""
    assert apart([seen(MR, sop_class=SC), *[seen()] * 3]) == 1
    assert apart([seen(MR, sop_class=f"{SC}.4"), *[seen()] * 3]) == 1
    assert apart([seen(sop_class=SC)] * 3) == 0


@pytest.mark.parametrize(
    "sop_class", [f"{SC}7.1.1", f"{SC}7.1.6", f"{SC}9.1", f"{SC}8.1"]
)
def test_a_longer_number_is_no_screenshot(sop_class: str) -> None:
    """Endoscopy, whole slides and the eye have classes that begin with the same digits."""
    assert apart([seen(sop_class=sop_class), *[seen()] * 3]) == 0


def test_the_odd_pictures_are_never_most_of_the_series() -> None:
    """Where several reasons together take half of the series, all stay."""
    facts = series_facts(received(ImageType=LOCALIZER))
    series = [seen(facts=facts), seen(sop_class=SC), seen(), seen()]
    assert apart(series) == 0


def test_a_series_of_two_kinds_of_pictures_is_mixed() -> None:
    """A third of MR among CT, all called CT: the pictures tell."""
    [finding] = mixed([*[seen()] * 8, *[seen(MR)] * 4])
    assert finding.tag is None
    assert finding.evidence["by"] == "Modality"
    assert finding.evidence["kinds"] == [
        {"value": "CT", "instances": 8},
        {"value": "MR", "instances": 4},
    ]


@pytest.mark.parametrize(
    "others",
    [
        [seen(MR)] * 2,
        [seen(MR, 0.6)] * 6,
        [seen({"BodyPartExamined": "NECK"})] * 6,
        [seen({"BodyPartExamined": "HEAD"})] * 6,
    ],
)
def test_few_unsure_or_neighboring_pictures_mix_no_series(
    others: list[Verdict],
) -> None:
    """Two odd ones, unsure ones, and other regions of one scan are none."""
    assert mixed([*[seen()] * 12, *others]) == []


def test_projections_of_two_body_parts_are_mixed() -> None:
    """A radiograph shows all of its body part: hands and chests are two series."""
    x_ray, hands = {"Modality": "DX"}, {"Modality": "DX", "BodyPartExamined": "HAND"}
    chest = seen(x_ray, sop_class=DX, tags=tags(**x_ray))
    hand = seen(hands, sop_class=DX, tags=tags(**x_ray))
    [finding] = mixed([*[chest] * 4, *[hand] * 3])
    assert finding.evidence["by"] == "BodyPartExamined"


def test_tags_that_differ_are_told_once() -> None:
    """Where the rule has found two Modalities in the tags, the pictures add nothing."""
    other = seen(MR, tags=tags(Modality="MR"), sop_class="")
    [finding] = mixed([*[seen()] * 6, *[other] * 5])
    assert finding.tag == "Modality"
    assert "values" in finding.evidence
