"""Checks of hostile Data Sets raise nothing and quote no patient data."""

import json
from dataclasses import asdict
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from tests.unit.veritag.judging.checks.builders import ARRIVAL, build, item, received
from veritag.judging.checks import check_instance, series_facts

KEYWORDS = (
    "SOPClassUID SOPInstanceUID SeriesInstanceUID StudyInstanceUID FrameOfReferenceUID"
    " ImageType StudyDate StudyTime AcquisitionDate ContentDate ContentTime"
    " PatientBirthDate PatientID PatientPosition PatientOrientation"
    " ImageOrientationPatient ImagePositionPatient PixelSpacing BodyPartExamined"
    " Laterality ImageLaterality TimezoneOffsetFromUTC AnatomicalOrientationType"
    " SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence"
    " PatientOrientationCodeSequence PatientGantryRelationshipCodeSequence"
    " AnatomicRegionSequence"
).split()

NAMES = ("SECRET", "Muster", "Max")

HOSTILE = (
    b"A" * 16_384,
    b"\\" * 16_384,
    b"1." * 8_192,
    b"<script>alert(1)</script>",
    b"\0\0\0\0",
    b"HFS\0\0",
    b"NaN\\inf\\-inf\\1e300\\-1e300\\0",
    b"1e300\\1e300\\1e300\\1e300\\1e300\\1e300",
    b"1e-300\\0\\0\\0\\1e-300\\0",
    b"1\\0\\0\\1\\0\\0",
    b"CT\\MR\\PT",
    b"99999999",
    b"00010101",
    b"\xff\xfe\xfd",
    "٢٠٢٦٠٣٠١".encode(),
    b"+9999",
    b"",
)


def _raw(keyword: str, vr: str | None, value: bytes | None) -> RawDataElement:
    tag = Tag(tag_for_keyword(keyword) or 0)
    return RawDataElement(tag, vr, len(value or b""), value, 0, vr is None, True)


raws = st.builds(
    _raw,
    st.sampled_from(KEYWORDS),
    st.sampled_from(["UI", "CS", "DA", "DS", "US", "FD", "SQ", "UN", "OB", "PN", None]),
    st.none() | st.sampled_from(HOSTILE) | st.binary(max_size=64),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(raws, max_size=8))
def test_any_elements_are_checked(elements: list[RawDataElement]) -> None:
    """Wrong VRs, lengths, numbers and characters raise no exception."""
    ds = received()
    for element in elements:
        ds._dict[element.tag] = element
    for defect in check_instance(ds, received_at=ARRIVAL):
        json.dumps(asdict(defect), allow_nan=False)
        assert len(defect.observed or "") < 300
        assert (defect.observed or "").isprintable()
    assert all(isinstance(value, str) for value in series_facts(ds).values())


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_that_parse_are_checked(data: bytes) -> None:
    """A Data Set of random bytes raises no exception."""
    try:
        ds = dcmread(BytesIO(data), force=True)
    except Exception:  # noqa: BLE001 -- no Data Set, nothing to check
        return
    check_instance(ds, received_at=ARRIVAL)
    series_facts(ds)


@pytest.mark.parametrize("keyword", KEYWORDS)
@pytest.mark.parametrize(
    "value", [7, 1.5, float("nan"), None, [], [1, "x", None], object(), Sequence()]
)
def test_values_of_any_type_are_checked(keyword: str, value: Any) -> None:
    """Values of any Python type raise no exception."""
    ds = build()
    tag = Tag(tag_for_keyword(keyword) or 0)
    ds._dict[tag] = DataElement(tag, "UT", value, already_converted=True)
    check_instance(ds, received_at=ARRIVAL)
    series_facts(ds)


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_a_sequence_where_a_value_is_due_is_checked(keyword: str) -> None:
    """A sequence in place of a value raises no exception and is not quoted."""
    deep = item(PatientPosition="HFS")
    for _ in range(50):
        deep = item(AnatomicRegionSequence=[deep])
    ds = build()
    ds.pop(keyword, None)
    ds.add_new(keyword, "SQ", [deep])
    observed = [d.observed or "" for d in check_instance(ds, received_at=ARRIVAL)]
    assert all(len(text) < 300 for text in observed)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([k for k in KEYWORDS if not k.endswith("Sequence")]),
        st.sampled_from(["SECRET^PERSON", "Muster, Max", "Max 1970", "19700101SECRET"]),
        max_size=12,
    )
)
def test_names_in_any_element_are_not_repeated(values: dict[str, str]) -> None:
    """A name in any element occurs in no defect and in no fact."""
    ds = build()
    for keyword, value in values.items():
        element = _raw(keyword, "LO", value.encode())
        ds._dict[element.tag] = element
    defects = json.dumps([asdict(d) for d in check_instance(ds, received_at=ARRIVAL)])
    assert not [name for name in NAMES if name in defects]
    assert not [name for name in NAMES if name in json.dumps(series_facts(ds))]


def test_an_empty_data_set_lacks_its_identity() -> None:
    """An empty Data Set lacks only what every object has."""
    tags = [defect.tag for defect in check_instance(Dataset(), received_at=ARRIVAL)]
    assert tags == ["SOPClassUID", "SOPInstanceUID"]
    assert series_facts(Dataset()) == {}
