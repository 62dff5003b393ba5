"""Judged tags and identity of a Data Set, as received."""

import math
from io import BytesIO

import pydicom
import pydicom.charset
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import Tag

from veritag.dicom.tags import JUDGED_TAGS, read_identity, read_tags
from veritag.terms.concepts import normalize


def dataset(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def test_values_are_read_as_received() -> None:
    """Text is stripped, numbers are floats, the orientation has six values."""
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
    ds.Manufacturer = ["", " "]
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
    """A coded region in the Frame Anatomy replaces an absent BodyPartExamined only."""
    region = dataset(CodeMeaning="Brain")
    anatomy = dataset(FrameAnatomySequence=[dataset(AnatomicRegionSequence=[region])])
    ds = dataset(SharedFunctionalGroupsSequence=[anatomy])
    assert read_tags(ds) == {"BodyPartExamined": "BRAIN"}
    ds.BodyPartExamined = "KNEE"
    assert read_tags(ds) == {"BodyPartExamined": "KNEE"}


@pytest.mark.parametrize(
    ("received", "tags"),
    [
        ({"ExposureTime": "500", "ExposureTimeInuS": "9"}, {"ExposureTime": 500.0}),
        ({"ExposureTimeInuS": "9150"}, {"ExposureTime": 9.15}),
        ({"ExposureTimeInms": 12.5}, {"ExposureTime": 12.5}),
        ({"ExposureInuAs": "320"}, {"Exposure": 0.32}),
        ({"Exposure": "0", "ExposureInuAs": "320"}, {"Exposure": 0.32}),
        ({"ExposureInmAs": 2.5}, {"Exposure": 2.5}),
        ({"Exposure": "0"}, {"Exposure": 0.0}),
        ({"Exposure": ["12", "13"]}, {"Exposure": 12.0}),
        ({"Exposure": "-3", "ExposureTime": "1e300"}, {}),
        ({"ExposureInmAs": float("nan"), "ExposureTimeInms": 1e300}, {}),
    ],
)
def test_exposures_come_in_ms_and_mas(
    received: dict[str, object], tags: dict[str, float]
) -> None:
    """Each attribute is converted; values that no device can emit count as absent."""
    with disable_value_validation():
        assert read_tags(dataset(**received)) == tags


def test_converted_objects_are_read_from_their_unassigned_attributes() -> None:
    """Attributes without a macro are read there (PS3.3 C.7.6.16.2.25)."""
    converted = dataset(MRAcquisitionType="3D", ExposureTime="7")
    shared = dataset(UnassignedSharedConvertedAttributesSequence=[converted])
    ds = dataset(SharedFunctionalGroupsSequence=[shared])
    assert read_tags(ds) == {"MRAcquisitionType": "3D", "ExposureTime": 7.0}


def test_detectors_and_tomosynthesis_have_sequences_of_their_own() -> None:
    """NM has the orientation per detector, tomosynthesis one exposure per acquisition."""
    detector = dataset(ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    source = dataset(ExposureTimeInms=1500.0, ExposureInmAs=60.0)
    ds = dataset(
        DetectorInformationSequence=[detector], XRay3DAcquisitionSequence=[source]
    )
    assert read_tags(ds) == {
        "ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
        "ExposureTime": 1500.0,
        "Exposure": 60.0,
    }


@pytest.mark.parametrize(
    ("orientation", "read"),
    [
        ([2, 0, 0, 0, 2, 0], (2.0, 0.0, 0.0, 0.0, 2.0, 0.0)),
        ([1, 0, 0, 1, 0, 0], (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)),
        ([1, 0, 0, 0, 1], None),
        ([1, 0, 0, 0, 1, 0, 0], None),
        ([1e300, 0, 0, 0, 1, 0], None),
    ],
)
def test_an_orientation_is_six_numbers_as_received(
    orientation: list[float], read: tuple[float, ...] | None
) -> None:
    """Six numbers are kept even if not orthonormal; any other count is absent."""
    with disable_value_validation():
        ds = dataset(ImageOrientationPatient=orientation)
    assert read_tags(ds).get("ImageOrientationPatient") == read


def parsed(keyword: str, vr: str, value: bytes, charset: bytes = b"") -> Dataset:
    """Return a Data Set as a file would give it: undecoded elements."""
    ds = Dataset()
    for name, kind, raw in (
        ("SpecificCharacterSet", "CS", charset),
        (keyword, vr, value),
    ):
        tag = Tag(tag_for_keyword(name) or 0)
        ds[tag] = RawDataElement(tag, kind, len(raw), raw, 0, False, True)
    ds.set_original_encoding(False, True, charset.decode() or "iso8859")
    return ds


@pytest.mark.parametrize(
    ("charset", "value"),
    [
        ("ISO_IR 100", "SCHÄDEL".encode("latin-1")),
        ("ISO_IR 192", "SCHÄDEL".encode()),
        ("ISO_IR 144", "ЧЕРЕП".encode("iso8859-5")),
        ("GB18030", "头部".encode("gb18030")),
    ],
)
def test_texts_are_read_in_their_character_set(charset: str, value: bytes) -> None:
    """Bytes are decoded with Specific Character Set (PS3.5 6.1)."""
    ds = Dataset()
    ds.SpecificCharacterSet = charset
    text = value.decode(pydicom.charset.python_encoding[charset])
    ds.Manufacturer = text
    stream = BytesIO()
    pydicom.dcmwrite(stream, ds, implicit_vr=False, little_endian=True)
    assert value in stream.getvalue()
    stream.seek(0)
    assert read_tags(pydicom.dcmread(stream, force=True)) == {"Manufacturer": text}


def test_a_long_hostile_text_is_cut_and_stays_text() -> None:
    """16 kB, HTML and NUL bytes become one printable line of at most 64 characters."""
    long = parsed("BodyPartExamined", "CS", b"KNEE " * 3300)
    assert read_tags(long) == {"BodyPartExamined": ("KNEE " * 13)[:64].strip()}
    html = parsed("BodyPartExamined", "CS", b"<b>KNEE\0\r\n</b>")
    assert read_tags(html) == {"BodyPartExamined": "<b>KNEE</b>"}


def test_several_values_stay_joined() -> None:
    """All values are returned as received, not only the first."""
    ds = parsed("Modality", "CS", b"CT\\PT")
    assert read_tags(ds) == {"Modality": "CT\\PT"}
    ds.Modality = ["CT", "PT"]
    assert read_tags(ds) == {"Modality": "CT\\PT"}


def test_a_sequence_in_place_of_a_text_gives_nothing_away() -> None:
    """A sequence may hold names: a Modality of VR SQ is absent, not quoted."""
    ds = Dataset()
    ds[0x00080060] = DataElement(0x00080060, "SQ", [dataset(PatientName="Doe^Jane")])
    assert read_tags(ds) == {}
    assert read_identity(ds).modality is None


@given(st.data())
def test_whatever_bytes_are_received_tags_keep_their_shape(
    data: st.DataObject,
) -> None:
    """In any VR, text is short and printable and numbers are finite and possible."""
    ds = Dataset()
    for keyword in data.draw(st.sets(st.sampled_from(JUDGED_TAGS), min_size=1)):
        tag = Tag(tag_for_keyword(keyword) or 0)
        value = data.draw(
            st.binary(max_size=64)
            | st.sampled_from(
                (b"nan", b"1e300", b"-1", b"1\\0\\0\\0\\1e999\\0", b"\x1b$B")
            )
        )
        vr = data.draw(st.sampled_from((dictionary_VR(tag), "UN", "FD", "SQ", "XX")))
        ds[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    for keyword, read in read_tags(ds).items():
        normalize(keyword, read)
        if isinstance(read, str):
            assert read == read.strip()
            assert read.isprintable()
            assert 0 < len(read) <= 64
        elif isinstance(read, float):
            assert 0 <= read <= 1e9
        else:
            assert len(read) == 6
            assert all(math.isfinite(number) for number in read)


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
    """Any bytes of an element give a value or nothing."""
    group, element, vr = RAW[keyword]
    tag = Tag(group, element)
    ds = Dataset()
    ds[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    for read in read_tags(ds).values():
        assert isinstance(read, (str, float, tuple))
    read_identity(ds)


@pytest.mark.parametrize("keyword", JUDGED_TAGS)
def test_a_text_in_place_of_a_value_is_no_error(keyword: str) -> None:
    """A text in place of a number is absent; any other text is kept."""
    stream = BytesIO()
    source = Dataset()
    source.add_new(keyword, "LO", "nonsense")
    pydicom.dcmwrite(stream, source, implicit_vr=True, little_endian=True)
    stream.seek(0)
    ds = pydicom.dcmread(stream, force=True)
    read = read_tags(ds)
    assert read in ({}, {keyword: "nonsense"})


def test_the_identity_is_what_reviewers_search_by() -> None:
    """Attributes of study and series are read; absent ones are None."""
    ds = dataset(PatientID="P1", StudyDate="20260101", SeriesNumber="3")
    identity = read_identity(ds)
    assert identity.patient_id == "P1"
    assert identity.study_date == "20260101"
    assert identity.series_number == "3"
    assert identity.accession_number is None
