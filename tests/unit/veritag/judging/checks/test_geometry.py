"""Orientation, Patient Position and the side of the body."""

from typing import Any

import pytest

from tests.unit.veritag.judging.checks.objects import (
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
    ("cosines", "told"),
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
    cosines: list[object], told: str | None
) -> None:
    """PS3.3 C.7.6.2.1.1, to within a hundredth."""
    found = defects(ImageOrientationPatient=cosines)
    assert [d.observed for d in found] == ([told] if told else [])
    assert all(d.code is FindingCode.ORIENTATION_INVALID for d in found)


@pytest.mark.parametrize("group", ["Shared", "PerFrame"])
def test_enhanced_objects_are_looked_into(group: str) -> None:
    """Their orientation stands in the functional groups."""
    plane = item(ImageOrientationPatient=[1, 0, 0, 1, 0, 0])
    groups = [item(PlaneOrientationSequence=[plane])]
    sequence = {f"{group}FunctionalGroupsSequence": groups}
    found = codes(SOPClassUID=ENHANCED_MR, ImageOrientationPatient=None, **sequence)
    assert found == [FindingCode.ORIENTATION_INVALID]


@pytest.mark.parametrize(
    ("letters", "cosines", "meant"),
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
    letters: list[str], cosines: list[float], meant: str | None
) -> None:
    """A letter opposite or across its vector is the wrong letter."""
    found = defects(
        PatientOrientation=letters,
        ImageOrientationPatient=cosines,
        ImageType=["DERIVED", "PRIMARY"],
    )
    assert [d.expected for d in found] == ([(meant,)] if meant else [])
    assert all(d.code is FindingCode.ORIENTATIONS_DISAGREE for d in found)


@pytest.mark.parametrize(
    ("letters", "told"),
    [(["RAF", "PH"], "RAF\\PH"), (["RARA", "P"], "AAAA\\A"), (["RAL", "P"], "AAA\\A")],
)
def test_letters_are_told_where_they_are_a_direction(
    letters: list[str], told: str
) -> None:
    """At most one letter of each axis (PS3.3 C.7.6.1.1.1); words show their form."""
    [found] = defects(PatientOrientation=letters)
    assert found.observed == told


@pytest.mark.parametrize("name", ["ALF", "RAF", "HAL", "PAL"])
@pytest.mark.parametrize("keyword", ["Laterality", "ImageLaterality", "ImageType"])
def test_a_short_name_is_no_direction_elsewhere(keyword: str, name: str) -> None:
    """Three letters of directions mean nothing in a side or in Image Type."""
    value = [name, "PRIMARY"] if keyword == "ImageType" else name
    [observed] = {d.observed for d in defects(**{keyword: value})}
    assert observed is not None
    assert "AAA" in observed
    assert name not in observed


def test_letters_of_four_footed_animals_are_others() -> None:
    """PS3.3 C.7.6.1.1.1 gives them other letters."""
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
    """No axial cosines rule out a posture, nor which end goes first."""
    assert codes(PatientPosition=position, ImageOrientationPatient=cosines) == []


@pytest.mark.parametrize(
    ("position", "cosines", "wrong"),
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
    position: str, cosines: list[float], wrong: bool
) -> None:
    """The only axis that a machine cannot turn away."""
    found = codes(PatientPosition=position, ImageOrientationPatient=cosines)
    code = FindingCode.POSITION_CONTRADICTS_ORIENTATION
    assert found == ([code] if wrong else [])


@pytest.mark.parametrize(
    "changes",
    [
        {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        MR_SLICE,
    ],
)
def test_other_images_may_have_any_plane(changes: dict[str, Any]) -> None:
    """Reformatted images, localizers, and all of MR."""
    assert (
        codes(PatientPosition="HFS", ImageOrientationPatient=CORONAL, **changes) == []
    )


@pytest.mark.parametrize(
    ("position", "gantry", "posture", "said"),
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
    position: str, gantry: str, posture: str, said: str | None
) -> None:
    """Patient Position beside the coded sequences of PET and CT."""
    modifier = item(CodeValue=posture)
    found = defects(
        PatientPosition=position,
        PatientGantryRelationshipCodeSequence=[item(CodeValue=gantry)],
        PatientOrientationCodeSequence=[
            item(CodeValue="F-10450", PatientOrientationModifierCodeSequence=[modifier])
        ],
    )
    assert [d.expected for d in found] == ([(said,)] if said else [])


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
    """A radiograph of a knee, and what else it may say."""
    knee = {"SOPClassUID": CR, "Modality": "CR", "BodyPartExamined": "KNEE"}
    assert codes(**(knee | changes)) == ([code] if code else [])


@pytest.mark.parametrize(
    ("part", "told"), [("HAND", True), ("CHEST", False), (None, True)]
)
def test_digital_radiographs_tell_a_side(part: str | None, told: bool) -> None:
    """Image Laterality is of Type 1 there, and idle where the part is unpaired."""
    found = codes(SOPClassUID=DX, Modality="DX", BodyPartExamined=part)
    assert found == ([FindingCode.LATERALITY_MISSING] if told else [])


def test_a_coded_side_counts_too() -> None:
    """The modifier of the Anatomic Region tells it, and may contradict."""
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
    """Enhanced objects tell it as Frame Laterality."""
    anatomy = item(FrameAnatomySequence=[item(FrameLaterality="L")])
    found = codes(
        SOPClassUID=ENHANCED_MR,
        Laterality="R",
        BodyPartExamined="KNEE",
        SharedFunctionalGroupsSequence=[anatomy],
    )
    assert found == [FindingCode.LATERALITIES_DISAGREE]
