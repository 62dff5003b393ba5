"""Checks of UIDs, dates, Image Type and required attributes."""

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.veritag.judging.checks.builders import (
    ARRIVAL,
    ENHANCED_MR,
    MR,
    build,
    codes,
    defects,
)
from veritag.findings import FindingCode
from veritag.judging.checks import check_instance
from veritag.judging.checks.uids import find_flaw
from veritag.phantoms.series import KINDS, phantom_series


def test_a_right_slice_breaks_no_rule() -> None:
    """The slice that the other tests change has no defects."""
    assert codes() == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_phantoms_break_no_rule(kind: str) -> None:
    """Phantoms have no defects, so the demo shows only planted errors."""
    for ds in phantom_series(kind, instances=2, patient=1, seed=1):
        assert check_instance(ds, received_at=ARRIVAL) == ()


@pytest.mark.parametrize(
    ("uid", "flaw"),
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
def test_uids_have_one_form(uid: str, flaw: str | None) -> None:
    """Each violation of PS3.5 9.1 is named."""
    assert find_flaw(uid) == flaw


def test_invalid_uids_make_one_defect() -> None:
    """One defect names all invalid UIDs and quotes none."""
    [defect] = defects(StudyInstanceUID="1.02", FrameOfReferenceUID="x.1")
    assert defect.code is FindingCode.UID_INVALID
    assert defect.tag == "StudyInstanceUID"
    assert defect.observed == "a leading zero; also FrameOfReferenceUID"


def test_study_series_and_instance_are_three_things() -> None:
    """One UID for two of study, series and instance is a defect."""
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
    ("value", "sop_class", "invalid"),
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
    value: object, sop_class: str | None, invalid: bool
) -> None:
    """Value 1 and 2 follow PS3.3 C.7.6.1.1.2; MIXED needs functional groups."""
    changes: dict[str, Any] = {"ImageType": value, "PatientPosition": None}
    found = codes(**changes, **({"SOPClassUID": sop_class} if sop_class else {}))
    assert found == ([FindingCode.IMAGE_TYPE_INVALID] if invalid else [])


def test_the_intended_image_type_is_suggested() -> None:
    """The intended pair is recognized in any order."""
    [defect] = defects(ImageType="ORIGINAL PRIMARY")
    assert defect.expected == ("ORIGINAL\\PRIMARY",)


@pytest.mark.parametrize(
    ("keyword", "value", "quoted"),
    [
        ("StudyDate", "2026.03.01", "9999.99.99"),
        ("StudyDate", "20260230", "not a day of the calendar"),
        ("StudyDate", "00000000", "not a day of the calendar"),
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
    keyword: str, value: str, quoted: str | None
) -> None:
    """Dates and times follow PS3.5 6.2; a defect quotes the pattern, not the value."""
    found = defects(**{keyword: value})
    if quoted == "before":
        assert [d.code for d in found] == [FindingCode.DATES_DISAGREE]
        return
    assert [d.observed for d in found] == ([quoted] if quoted else [])
    assert all(d.code is FindingCode.DATE_INVALID for d in found)


def test_all_wrong_dates_make_one_defect() -> None:
    """All invalid dates and times of an instance make one defect."""
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
    """One day is tolerated because of time zones; derived images are not checked."""
    found = defects(**changes)
    assert [d.tag for d in found] == ([tag] if tag else [])
    assert all(d.code is FindingCode.DATES_DISAGREE for d in found)


@pytest.mark.parametrize(
    ("changes", "interval"),
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
    changes: dict[str, Any], interval: str | None
) -> None:
    """The default time zone is the easternmost one; one hour is tolerated."""
    found = defects(AcquisitionDate=None, **changes)
    assert [d.code for d in found] == ([FindingCode.DATE_IN_FUTURE] if interval else [])
    assert [d.observed for d in found] == (
        [f"{interval} of its arrival"] if interval else []
    )


def test_without_an_arrival_the_clock_is_not_checked() -> None:
    """Dates in the future are reported only if the arrival is known."""
    late = build(StudyDate="29990101", AcquisitionDate=None)
    assert check_instance(late) == ()
    assert check_instance(late, received_at=ARRIVAL - timedelta(days=1)) != ()
