"""Hints at judged tags from other elements: concepts only."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from veritag.dicom.read_instance import open_instance
from veritag.dicom.tags import read_hints, read_tags
from veritag.terms.body_parts import PARTS
from veritag.terms.concepts import Relation, normalize, relation

PART = "BodyPartExamined"


def dataset(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def code(value: str, scheme: str, meaning: str = "") -> Dataset:
    return dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def test_each_source_says_what_it_means_by_itself() -> None:
    """Hints of descriptions, views and codes are separate, and none becomes a tag."""
    ds = dataset(
        Modality="MG",
        StudyDescription="THORAX^JANE DOE",
        SeriesDescription="R MLO Tomo",
        ProtocolName="t1_tse",
        ViewPosition="MLO",
        ViewCodeSequence=[code("R-10226", "SNM3")],
        PrimaryAnatomicStructureSequence=[code("T-04000", "SRT")],
        RequestedProcedureCodeSequence=[code("X1", "99LOCAL", "RM Mamaria")],
    )
    assert read_tags(ds) == {"Modality": "MG"}
    assert read_hints(ds) == {
        PART: {
            "PrimaryAnatomicStructureSequence": "BREAST",
            "ViewCodeSequence": "BREAST",
            "ViewPosition": "BREAST",
            "SeriesDescription": "BREAST",
            "RequestedProcedureCodeSequence": "BREAST",
            "StudyDescription": "CHEST",
        }
    }


def test_the_series_description_tells_plane_and_dimensions() -> None:
    """Protocols name both; 2D and 3D count for MR only."""
    text = "t1_fl3d_sag_dyn"
    assert read_hints(dataset(Modality="MR", SeriesDescription=text)) == {
        "ImageOrientationPatient": {"SeriesDescription": "SAGITTAL"},
        "MRAcquisitionType": {"SeriesDescription": "3D"},
    }
    ct = dataset(Modality="CT", SeriesDescription="2D/3D COR SAG")
    assert read_hints(ct) == {}


def test_a_model_tells_its_vendor() -> None:
    """A SOMATOM has one vendor; an Avant is not in the table."""
    ds = dataset(ManufacturerModelName="SOMATOM Definition AS+")
    assert read_hints(ds) == {"Manufacturer": {"ManufacturerModelName": "SIEMENS"}}
    assert read_hints(dataset(ManufacturerModelName="Avant")) == {}


@pytest.mark.parametrize(
    ("modifier", "gantry", "position"),
    [
        ("F-10340", "F-10470", "HFS"),
        ("40199007", "102541007", "FFS"),
        ("F-10310", "102540008", "HFP"),
        ("102536004", "F-10480", "FFDL"),
        ("F-10320", "F-10470", None),
    ],
)
def test_nuclear_medicine_tells_the_position_by_codes(
    modifier: str, gantry: str, position: str | None
) -> None:
    """Orientation modifier and gantry relationship make a term of PatientPosition."""
    orientation = dataset(
        PatientOrientationModifierCodeSequence=[code(modifier, "SRT")]
    )
    ds = dataset(
        PatientOrientationCodeSequence=[orientation],
        PatientGantryRelationshipCodeSequence=[code(gantry, "SRT")],
    )
    source = "PatientGantryRelationshipCodeSequence"
    expected = {"PatientPosition": {source: position}} if position else {}
    assert read_hints(ds) == expected


def test_a_code_counts_before_its_meaning_and_the_meaning_without_one() -> None:
    """A known code overrides its Code Meaning; an unknown one is read by it."""
    region = "AnatomicRegionSequence"
    for item, part in (
        (code("T-D1100", "SRT", "Knee"), "HEAD"),
        (code("X", "99LOCAL", "Right knee"), "KNEE"),
        (code("X", "99LOCAL", "nothing"), None),
        (Dataset(), None),
    ):
        hints = read_hints(dataset(**{region: [item]})).get(PART, {})
        assert hints.get(region) == part


def test_an_enhanced_object_tells_its_anatomy_per_frame() -> None:
    """The Frame Anatomy of the middle frame is read."""
    frames = [
        dataset(FrameAnatomySequence=[dataset(AnatomicRegionSequence=[item])])
        for item in (code("1", "X"), code("69536005", "SCT"), code("1", "X"))
    ]
    ds = dataset(PerFrameFunctionalGroupsSequence=frames)
    assert read_hints(ds) == {PART: {"AnatomicRegionSequence": "HEAD"}}
    assert read_tags(ds) == {PART: "HEAD"}


HOSTILE = (
    "StudyDescription", "SeriesDescription", "ProtocolName", "ViewPosition",
    "AnatomicRegionSequence", "ViewCodeSequence", "PerformedProtocolCodeSequence",
    "PatientOrientationCodeSequence", "ManufacturerModelName", "Modality",
    "SharedFunctionalGroupsSequence", "SpecificCharacterSet",
)  # fmt: skip
CONCEPTS = PARTS.keys() | {"AXIAL", "CORONAL", "SAGITTAL", "OBLIQUE", "2D", "3D"}


@given(st.data())
def test_whatever_is_received_only_concepts_come_out(data: st.DataObject) -> None:
    """Any bytes in any VR never raise and are never returned."""
    ds = Dataset()
    for keyword in data.draw(st.sets(st.sampled_from(HOSTILE), min_size=1)):
        tag = Tag(tag_for_keyword(keyword) or 0)
        value = data.draw(
            st.binary(max_size=64)
            | st.sampled_from(
                (b"<script>KNEE</script>", b"KNEE\0" * 3300, b"\x1b$BKNEE")
            )
        )
        vr = data.draw(st.sampled_from((dictionary_VR(tag), "UN", "US", "SQ", "XX")))
        ds[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    for sources in read_hints(ds).values():
        assert set(sources.values()) <= CONCEPTS


def test_hints_of_the_corpus_agree_with_what_its_pictures_show(corpus: Path) -> None:
    """Body parts in the descriptions of real files are those of their pictures.

    Two kinds are left out: phantoms, whose descriptions name the simulated part, and
    slices of the chest in studies of the abdomen, whose descriptions are of the study.
    """
    with (corpus / "manifest.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["group"] == "image"]
    right, wrong = 0, []
    for row in rows:
        shown = normalize(PART, row["region"])
        hints = read_hints(open_instance(corpus / row["path"])).get(PART, {})
        for source, hint in hints.items():
            if shown and relation(PART, hint, shown) is not Relation.DISJOINT:
                right += 1
            elif shown not in (None, "PHANTOM"):
                wrong.append((source, hint, shown))
    assert right > 700
    assert {(hint, shown) for _, hint, shown in wrong} <= {
        ("ABDOMENPELVIS", "CHEST"),
        ("ABDOMEN", "CHEST"),
    }
