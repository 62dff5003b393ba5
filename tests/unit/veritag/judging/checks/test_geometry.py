"""Checks of orientation, Patient Position and the side of the body."""

from typing import Any

import pytest

from tests.unit.veritag.judging.checks.builders import (
    CR,
    DX,
    ENHANCED_MR,
    MR,
    codes,
    defects,
    item,
)
from veritag.findings import FindingCode

AXIAL, SAGITTAL, CORONAL = [1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1]
MR_SLICE: dict[str, Any] = {
    "SOPClassUID": MR,
    "Modality": "MR",
    "ScanningSequence": "SE",
    "SequenceVariant": "NONE",
    "ImageType": ["ORIGINAL", "PRIMARY", "M"],
}


@pytest.mark.parametrize(
    ("cosines", "flaw"),
    [
        (["1", "0", "0", "0", "0.71", "-0.71"], None),
        ([0.9659, 0.2588, 0, -0.2588, 0.9659, 0], None),
        ([1, 0, 0, 0, 1], "5 values instead of 6"),
        ([0, 0, 0, 0, 0, 0], "vectors of length 0 and 0"),
        ([2, 0, 0, 0, 1, 0], "vectors of length 2 and 1"),
        ([1, 0, 0, 0.5, 0.8660254, 0], "rows and columns at 60 degrees"),
        ([1, 0, 0, -1, 0, 0], "rows and columns at 180 degrees"),
        (["1E300", "0", "0", "0", "1", "0"], "vectors of length 1e+300 and 1"),
    ],
)
def test_an_orientation_is_two_unit_vectors_at_a_right_angle(
    cosines: list[object], flaw: str | None
) -> None:
    """The cosines follow PS3.3 C.7.6.2.1.1 within a tolerance of 0.01."""
    found = defects(ImageOrientationPatient=cosines)
    assert [d.observed for d in found] == ([flaw] if flaw else [])
    assert all(d.code is FindingCode.ORIENTATION_INVALID for d in found)


@pytest.mark.parametrize("group", ["Shared", "PerFrame"])
def test_functional_groups_are_checked(group: str) -> None:
    """The orientation in functional groups of Enhanced objects is checked."""
    plane = item(ImageOrientationPatient=[1, 0, 0, 1, 0, 0])
    groups = [item(PlaneOrientationSequence=[plane])]
    sequence = {f"{group}FunctionalGroupsSequence": groups}
    found = codes(SOPClassUID=ENHANCED_MR, ImageOrientationPatient=None, **sequence)
    assert found == [FindingCode.ORIENTATION_INVALID]


@pytest.mark.parametrize(
    ("letters", "cosines", "expected"),
    [
        (["L", "P"], AXIAL, None),
        (["L", "PF"], [1, 0, 0, 0, 0.9, -0.4359], None),
        (["P   ", "F"], SAGITTAL, None),
        (["R", "P"], AXIAL, "L\\P"),
        (["L", "A"], AXIAL, "L\\P"),
        (["P", "L"], AXIAL, "L\\P"),
        (["L", "H"], CORONAL, "L\\F"),
        (["L"], AXIAL, None),
        (["X", "P"], AXIAL, None),
    ],
)
def test_letters_and_cosines_agree(
    letters: list[str], cosines: list[float], expected: str | None
) -> None:
    """A letter opposite or perpendicular to its vector is a defect."""
    found = defects(
        PatientOrientation=letters,
        ImageOrientationPatient=cosines,
        ImageType=["DERIVED", "PRIMARY"],
    )
    assert [d.expected for d in found] == ([(expected,)] if expected else [])
    assert all(d.code is FindingCode.ORIENTATIONS_DISAGREE for d in found)


@pytest.mark.parametrize(
    ("letters", "quoted"),
    [(["RAF", "PH"], "RAF\\PH"), (["RARA", "P"], "AAAA\\A"), (["RAL", "P"], "AAA\\A")],
)
def test_letters_are_quoted_where_they_are_a_direction(
    letters: list[str], quoted: str
) -> None:
    """Letters of different axes are quoted (PS3.3 C.7.6.1.1.1), others as a pattern."""
    [defect] = defects(PatientOrientation=letters)
    assert defect.observed == quoted


@pytest.mark.parametrize("name", ["ALF", "RAF", "HAL", "PAL"])
@pytest.mark.parametrize("keyword", ["Laterality", "ImageLaterality", "ImageType"])
def test_a_short_name_is_no_direction_elsewhere(keyword: str, name: str) -> None:
    """Three letters of directions are not quoted in a side or in Image Type."""
    value = [name, "PRIMARY"] if keyword == "ImageType" else name
    [observed] = {d.observed for d in defects(**{keyword: value})}
    assert observed is not None
    assert "AAA" in observed
    assert name not in observed


def test_letters_of_quadrupeds_are_not_checked() -> None:
    """Quadrupeds have other letters (PS3.3 C.7.6.1.1.1)."""
    changes = {
        "PatientOrientation": ["R", "D"],
        "AnatomicalOrientationType": "QUADRUPED",
    }
    assert codes(**changes) == []


@pytest.mark.parametrize(
    "position", ["HFS", "FFS", "HFP", "FFP", "HFDL", "HFDR", "FFDL"]
)
@pytest.mark.parametrize(
    "cosines",
    [
        AXIAL,
        [-1, 0, 0, 0, 1, 0],
        [-1, 0, 0, 0, -1, 0],
        [0, 1, 0, -1, 0, 0],
        [0, -1, 0, 1, 0, 0],
    ],
)
def test_a_reconstruction_may_turn_and_flip(position: str, cosines: list[int]) -> None:
    """Axial cosines contradict no posture and no direction of entry."""
    assert codes(PatientPosition=position, ImageOrientationPatient=cosines) == []


@pytest.mark.parametrize(
    ("position", "cosines", "defective"),
    [
        ("HFS", CORONAL, True),
        ("FFDL", SAGITTAL, True),
        ("HFS", [1, 0, 0, 0, 0.8660254, -0.5], False),
        ("LFS", AXIAL, True),
        ("RFP", SAGITTAL, False),
        ("AFDR", CORONAL, False),
        ("PFDL", AXIAL, True),
        ("SITTING", CORONAL, False),
        ("XYZ", CORONAL, False),
        ("", CORONAL, False),
    ],
)
def test_an_acquired_ct_slice_lies_across_the_gantry(
    position: str, cosines: list[float], defective: bool
) -> None:
    """Only a plane along the gantry's axis contradicts Patient Position."""
    found = codes(PatientPosition=position, ImageOrientationPatient=cosines)
    code = FindingCode.POSITION_CONTRADICTS_ORIENTATION
    assert found == ([code] if defective else [])


@pytest.mark.parametrize(
    "changes",
    [
        {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        MR_SLICE,
    ],
)
def test_other_images_may_have_any_plane(changes: dict[str, Any]) -> None:
    """Planes of reformatted images, localizers and MR are not checked."""
    assert (
        codes(PatientPosition="HFS", ImageOrientationPatient=CORONAL, **changes) == []
    )


@pytest.mark.parametrize(
    ("position", "gantry", "posture", "expected"),
    [
        ("HFS", "F-10470", "F-10340", None),
        ("FFS", "F-10470", "F-10340", "headfirst"),
        ("HFS", "102541007", "40199007", "feet-first"),
        ("HFP", "102540008", "40199007", "supine"),
        ("HFDL", "102540008", "1240000", "prone"),
        ("HFDL", "102540008", "102535000", None),
        ("HFS", "102540008", "102536004", "left lateral decubitus"),
        ("HFS", "102542000", "11111", None),
    ],
)
def test_position_and_codes_say_the_same(
    position: str, gantry: str, posture: str, expected: str | None
) -> None:
    """Patient Position is compared with the coded sequences of PET and CT."""
    modifier = item(CodeValue=posture)
    found = defects(
        PatientPosition=position,
        PatientGantryRelationshipCodeSequence=[item(CodeValue=gantry)],
        PatientOrientationCodeSequence=[
            item(CodeValue="F-10450", PatientOrientationModifierCodeSequence=[modifier])
        ],
    )
    assert [d.expected for d in found] == ([(expected,)] if expected else [])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Laterality": "R"}, None),
        ({"Laterality": ""}, None),
        ({"ImageLaterality": "B"}, None),
        ({}, FindingCode.LATERALITY_MISSING),
        ({"BodyPartExamined": "BREAST"}, None),
        ({"BodyPartExamined": "SOMETHING"}, None),
        ({"Laterality": "LEFT"}, FindingCode.VALUE_NOT_DEFINED),
        ({"Laterality": ["R", "L"]}, FindingCode.VALUE_NOT_DEFINED),
        ({"Laterality": "U"}, FindingCode.VALUE_NOT_DEFINED),
        ({"ImageLaterality": "U"}, FindingCode.LATERALITY_CONTRADICTS_BODY_PART),
        (
            {"BodyPartExamined": "LSPINE", "Laterality": "L"},
            FindingCode.LATERALITY_CONTRADICTS_BODY_PART,
        ),
        ({"BodyPartExamined": "CHEST", "ImageLaterality": "U"}, None),
        ({"BodyPartExamined": "CHEST", "ImageLaterality": "B"}, None),
        ({"Laterality": "L", "ImageLaterality": "L"}, None),
        (
            {"Laterality": "L", "ImageLaterality": "R"},
            FindingCode.LATERALITIES_DISAGREE,
        ),
    ],
)
def test_a_side_fits_the_body_part(
    changes: dict[str, Any], code: FindingCode | None
) -> None:
    """The side of a radiograph of a knee agrees with the body part."""
    knee = {"SOPClassUID": CR, "Modality": "CR", "BodyPartExamined": "KNEE"}
    assert codes(**(knee | changes)) == ([code] if code else [])


@pytest.mark.parametrize(
    ("part", "defective"), [("HAND", True), ("CHEST", False), (None, True)]
)
def test_digital_radiographs_need_a_side(part: str | None, defective: bool) -> None:
    """Image Laterality is of Type 1 there, but not reported for unpaired parts."""
    found = codes(SOPClassUID=DX, Modality="DX", BodyPartExamined=part)
    assert found == ([FindingCode.LATERALITY_MISSING] if defective else [])


def test_a_coded_side_counts_too() -> None:
    """The modifier of the Anatomic Region gives a side, which is compared."""
    region = item(AnatomicRegionModifierSequence=[item(CodeValue="7771000")])
    hand = {
        "SOPClassUID": DX,
        "BodyPartExamined": "HAND",
        "AnatomicRegionSequence": [region],
    }
    assert codes(**hand) == []
    [defect] = defects(ImageLaterality="R", **hand)
    assert defect.code is FindingCode.LATERALITIES_DISAGREE
    assert defect.observed == "ImageLaterality R, AnatomicRegionModifierSequence L"


def test_the_side_of_frames_counts_too() -> None:
    """Frame Laterality of Enhanced objects gives a side, which is compared."""
    anatomy = item(FrameAnatomySequence=[item(FrameLaterality="L")])
    found = codes(
        SOPClassUID=ENHANCED_MR,
        Laterality="R",
        BodyPartExamined="KNEE",
        SharedFunctionalGroupsSequence=[anatomy],
    )
    assert found == [FindingCode.LATERALITIES_DISAGREE]
