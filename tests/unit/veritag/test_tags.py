from io import BytesIO

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from veritag.tags import JUDGED_TAGS, read_identity, read_tags


def dataset(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def test_values_are_read_as_received() -> None:
    """Text is stripped, numbers are numbers, the orientation has its six values."""
    with disable_value_validation():
        ds = dataset(
            Modality="MR",
            BodyPartExamined=" Brain ",
            PatientPosition="HFS",
            MRAcquisitionType="2D",
            Manufacturer="Acme ",
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ExposureTime="500",
            Exposure="12",
        )
    assert read_tags(ds) == {
        "Modality": "MR",
        "BodyPartExamined": "Brain",
        "PatientPosition": "HFS",
        "MRAcquisitionType": "2D",
        "Manufacturer": "Acme",
        "ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        "ExposureTime": 500.0,
        "Exposure": 12.0,
    }


def test_empty_is_absent() -> None:
    """Elements without a value do not count as present."""
    ds = dataset(Modality="", BodyPartExamined=None, ExposureTime="", Exposure=None)
    ds.ImageOrientationPatient = None
    assert read_tags(ds) == {}


def test_enhanced_objects_are_read_from_their_functional_groups() -> None:
    """Shared groups come first, then those of the middle frame."""
    plane = dataset(
        PlaneOrientationSequence=[dataset(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])]
    )
    frames = [
        dataset(CTExposureSequence=[dataset(ExposureTimeInms=t, ExposureInmAs=t / 10)])
        for t in (10.0, 20.0, 30.0)
    ]
    ds = dataset(
        Modality="CT",
        SharedFunctionalGroupsSequence=[plane],
        PerFrameFunctionalGroupsSequence=frames,
    )
    assert read_tags(ds) == {
        "Modality": "CT",
        "ImageOrientationPatient": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
        "ExposureTime": 20.0,
        "Exposure": 2.0,
    }


def test_an_anatomic_region_stands_in_for_the_body_part() -> None:
    """A coded region in the Frame Anatomy says what BodyPartExamined would."""
    region = dataset(CodeMeaning="Brain")
    anatomy = dataset(FrameAnatomySequence=[dataset(AnatomicRegionSequence=[region])])
    ds = dataset(SharedFunctionalGroupsSequence=[anatomy])
    assert read_tags(ds) == {"BodyPartExamined": "BRAIN"}


RAW = {
    "ExposureTime": (0x0018, 0x1150, "IS"),
    "ImageOrientationPatient": (0x0020, 0x0037, "DS"),
    "Modality": (0x0008, 0x0060, "CS"),
    "Exposure": (0x0018, 0x1152, "XX"),
    "SharedFunctionalGroupsSequence": (0x5200, 0x9229, "SQ"),
    "SpecificCharacterSet": (0x0008, 0x0005, "CS"),
}


@given(st.sampled_from(sorted(RAW)), st.binary(max_size=64))
def test_malformed_elements_never_raise(keyword: str, value: bytes) -> None:
    """Whatever bytes an element holds, reading it gives a value or nothing."""
    group, element, vr = RAW[keyword]
    tag = Tag(group, element)
    ds = Dataset()
    ds[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    for read in read_tags(ds).values():
        assert isinstance(read, (str, float, tuple))
    read_identity(ds)


@pytest.mark.parametrize("keyword", JUDGED_TAGS)
def test_a_text_in_place_of_a_value_is_no_error(keyword: str) -> None:
    """A value of the wrong kind is either kept as text or counts as absent."""
    stream = BytesIO()
    source = Dataset()
    source.add_new(keyword, "LO", "nonsense")
    pydicom.dcmwrite(stream, source, implicit_vr=True, little_endian=True)
    stream.seek(0)
    ds = pydicom.dcmread(stream, force=True)
    read = read_tags(ds)
    assert read in ({}, {keyword: "nonsense"})


def test_the_identity_is_what_reviewers_search_by() -> None:
    """Study and series are named; what is absent stays None."""
    ds = dataset(PatientID="P1", StudyDate="20260101", SeriesNumber="3")
    identity = read_identity(ds)
    assert identity.patient_id == "P1"
    assert identity.study_date == "20260101"
    assert identity.series_number == "3"
    assert identity.accession_number is None
