"""UIDs, dates, Image Type and required attributes."""

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.veritag.judging.checks.objects import (
    ARRIVAL,
    ENHANCED_MR,
    MR,
    build,
    codes,
    defects,
)
from veritag.findings import FindingCode
from veritag.judging.checks import check_instance
from veritag.judging.checks.uids import flaw
from veritag.phantoms.series import KINDS, phantom_series


def test_a_right_slice_breaks_no_rule() -> None:
    """What every other test changes is right to begin with."""
    assert codes() == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_phantoms_break_no_rule(kind: str) -> None:
    """What the demo sends has only the errors that were planted."""
    for ds in phantom_series(kind, instances=2, patient=1, seed=1):
        assert check_instance(ds, received_at=ARRIVAL) == ()


@pytest.mark.parametrize(
    ("uid", "told"),
    [
        ("1.2.840.113619.2.1", None),
        ("2.25.0", None),
        ("0", None),
        ("", None),
        ("1" * 64, None),
        ("1" * 65, "65 characters"),
        ("1.02.3", "a leading zero"),
        ("1..3", "an empty component"),
        (".1", "an empty component"),
        ("1.2.", "an empty component"),
        ("1.2.3a", "characters other than digits and dots"),
        ("1.2 .3", "characters other than digits and dots"),
        ("1.2\n", "characters other than digits and dots"),
        ("١.٢", "characters other than digits and dots"),
    ],
)
def test_uids_have_one_form(uid: str, told: str | None) -> None:
    """PS3.5 9.1, letter by letter."""
    assert flaw(uid) == told


def test_wrong_uids_are_told_once() -> None:
    """One finding names them all and repeats none of them."""
    [defect] = defects(StudyInstanceUID="1.02", FrameOfReferenceUID="x.1")
    assert defect.code is FindingCode.UID_INVALID
    assert defect.tag == "StudyInstanceUID"
    assert defect.observed == "a leading zero; also FrameOfReferenceUID"


def test_study_series_and_instance_are_three_things() -> None:
    """A UID that stands for two of them identifies neither."""
    [defect] = defects(SeriesInstanceUID="1.2.3")
    assert (defect.code, defect.tag) == (FindingCode.UID_INVALID, "StudyInstanceUID")
    assert defect.observed == "the same as SeriesInstanceUID"


@pytest.mark.parametrize(
    ("changes", "tags"),
    [
        ({"PixelSpacing": None}, ["PixelSpacing"]),
        ({"ImageType": ""}, ["ImageType"]),
        ({"SOPInstanceUID": None}, ["SOPInstanceUID"]),
        ({"SOPClassUID": MR}, ["ScanningSequence", "SequenceVariant"]),
        ({"SOPClassUID": ENHANCED_MR, "PixelSpacing": None, "ImageType": None}, []),
        ({"Modality": None}, []),
    ],
)
def test_type_1_attributes_have_a_value(
    changes: dict[str, Any], tags: list[str]
) -> None:
    """Absent and empty are alike; other SOP Classes have other modules."""
    found = defects(**changes)
    assert [d.tag for d in found] == tags
    assert {d.code for d in found} <= {FindingCode.ATTRIBUTE_MISSING}


@pytest.mark.parametrize(
    ("value", "sop_class", "wrong"),
    [
        (["DERIVED", "SECONDARY", "MPR"], None, False),
        (["DERIVED ", "PRIMARY", ""], None, False),
        (["MIXED", "PRIMARY"], None, True),
        (["MIXED", "PRIMARY", "VOLUME", "NONE"], ENHANCED_MR, False),
        (["PRIMARY", "ORIGINAL"], None, True),
        (["ORIGINAL"], None, True),
        ("ORIGINAL PRIMARY", None, True),
        (["original", "primary"], None, True),
        (["LOCALIZER"], "1.2.840.10008.5.1.4.1.1.481.5", False),
    ],
)
def test_image_type_begins_with_two_enumerated_values(
    value: object, sop_class: str | None, wrong: bool
) -> None:
    """PS3.3 C.7.6.1.1.2, and MIXED where frames have functional groups."""
    changes: dict[str, Any] = {"ImageType": value, "PatientPosition": None}
    found = codes(**changes, **({"SOPClassUID": sop_class} if sop_class else {}))
    assert found == ([FindingCode.IMAGE_TYPE_INVALID] if wrong else [])


def test_the_meant_image_type_is_suggested() -> None:
    """The four words are recognized wherever they stand."""
    [defect] = defects(ImageType="ORIGINAL PRIMARY")
    assert defect.expected == ("ORIGINAL\\PRIMARY",)


@pytest.mark.parametrize(
    ("keyword", "value", "told"),
    [
        ("StudyDate", "2026.03.01", "9999.99.99"),
        ("StudyDate", "20260230", "no day of the calendar"),
        ("StudyDate", "00000000", "no day of the calendar"),
        ("StudyDate", "1 MARCH", "9 AAAAA"),
        ("StudyTime", "09:15:00", "99:99:99"),
        ("StudyTime", "2460", "9999"),
        ("StudyTime", "091500.1234567", "999999.9999999"),
        ("PatientBirthDate", "1970-01-01", "9999-99-99"),
        ("ContentTime", "235960", None),
        ("ContentTime", "23", None),
        ("ContentTime", "235959.123456", None),
        ("ContentDate", "20240229", "before"),
    ],
)
def test_dates_and_times_have_one_form(
    keyword: str, value: str, told: str | None
) -> None:
    """PS3.5 6.2; what is told is the form, never the value."""
    found = defects(**{keyword: value})
    if told == "before":
        assert [d.code for d in found] == [FindingCode.DATES_DISAGREE]
        return
    assert [d.observed for d in found] == ([told] if told else [])
    assert all(d.code is FindingCode.DATE_INVALID for d in found)


def test_all_wrong_dates_make_one_defect() -> None:
    """A device that writes dates in a way of its own is one cause."""
    [defect] = defects(StudyDate="2026.03.01", StudyTime="09:15", ContentTime="9:16")
    assert defect.observed == "9999.99.99; also StudyTime, ContentTime"


@pytest.mark.parametrize(
    ("changes", "tag"),
    [
        ({"AcquisitionDate": "20260228"}, None),
        ({"AcquisitionDate": "20260227"}, "AcquisitionDate"),
        ({"AcquisitionDate": None, "ContentDate": "20250101"}, "ContentDate"),
        (
            {
                "AcquisitionDate": "20200101",
                "ImageType": ["DERIVED", "SECONDARY", "AXIAL"],
            },
            None,
        ),
        ({"PatientBirthDate": "20260301"}, None),
        ({"PatientBirthDate": "20260302"}, None),
        ({"PatientBirthDate": "20260303"}, "PatientBirthDate"),
    ],
)
def test_events_have_an_order(changes: dict[str, Any], tag: str | None) -> None:
    """A day is let pass for midnights and time zones, derived images altogether."""
    found = defects(**changes)
    assert [d.tag for d in found] == ([tag] if tag else [])
    assert all(d.code is FindingCode.DATES_DISAGREE for d in found)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"StudyDate": "20260303", "StudyTime": "0200"}, None),
        ({"StudyDate": "20260303", "StudyTime": "0301"}, "1 hours ahead"),
        ({"StudyDate": "20260303", "StudyTime": None}, None),
        ({"StudyDate": "20270302"}, "364 days ahead"),
        ({"ContentDate": "20260304"}, "22 hours ahead"),
        (
            {
                "StudyDate": "20260302",
                "StudyTime": "1430",
                "TimezoneOffsetFromUTC": "+0000",
            },
            "2 hours ahead",
        ),
        (
            {
                "StudyDate": "20260302",
                "StudyTime": "1430",
                "TimezoneOffsetFromUTC": "+0200",
            },
            None,
        ),
        (
            {
                "StudyDate": "20260302",
                "StudyTime": "0830",
                "TimezoneOffsetFromUTC": "-0500",
            },
            "1 hours ahead",
        ),
    ],
)
def test_nothing_arrives_before_it_was_made(
    changes: dict[str, Any], told: str | None
) -> None:
    """Without a time zone the easternmost one is given; an hour is let pass."""
    found = defects(AcquisitionDate=None, **changes)
    assert [d.code for d in found] == ([FindingCode.DATE_IN_FUTURE] if told else [])
    assert [d.observed for d in found] == ([f"{told} of its arrival"] if told else [])


def test_without_an_arrival_the_clock_is_left_alone() -> None:
    """Nobody knows then what is ahead."""
    late = build(StudyDate="29990101", AcquisitionDate=None)
    assert check_instance(late) == ()
    assert check_instance(late, received_at=ARRIVAL - timedelta(days=1)) != ()
