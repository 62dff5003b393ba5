"""Concepts of tag values and their relations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veritag.terms.body_parts import DEFINED
from veritag.terms.concepts import (
    Relation,
    fit,
    is_defined,
    nearest_term,
    normalize,
    relation,
)
from veritag.terms.vocabulary import MODALITIES, PATIENT_POSITIONS

BODY_PART_TERMS = sorted(DEFINED)
TAGS = ("Modality", "BodyPartExamined", "PatientPosition", "MRAcquisitionType")
ALL_TAGS = (*TAGS, "Manufacturer", "ImageOrientationPatient", "Exposure", "Nonsense")


@pytest.mark.parametrize(
    ("a", "expected", "b"),
    [
        ("BRAIN", Relation.NARROWER, "HEAD"),
        ("CHEST", Relation.BROADER, "HEART"),
        ("CHEST", Relation.NARROWER, "CHESTABDPELVIS"),
        ("ABDOMEN", Relation.NARROWER, "CHESTABDPELVIS"),
        ("PELVIS", Relation.NARROWER, "CHESTABDPELVIS"),
        ("LSPINE", Relation.NARROWER, "SPINE"),
        ("UPPERARM", Relation.BROADER, "HUMERUS"),
        ("SINUS", Relation.NARROWER, "HEAD"),
        ("COLON", Relation.NARROWER, "ABDOMEN"),
        ("ARTERY", Relation.OVERLAPS, "KNEE"),
        ("ENDOESOPHAGEAL", Relation.OVERLAPS, "HEART"),
        ("TSPINE", Relation.NARROWER, "SPINE"),
        ("PROSTATE", Relation.NARROWER, "PELVIS"),
        ("NECK", Relation.NARROWER, "HEADNECK"),
        ("PELVISLOWEXTREMT", Relation.BROADER, "FEMUR"),
        ("EXTREMITY", Relation.BROADER, "HAND"),
        ("LEG", Relation.BROADER, "KNEE"),
        ("HAND", Relation.OVERLAPS, "WRIST"),
        ("SPINE", Relation.OVERLAPS, "CHEST"),
        ("LIVER", Relation.OVERLAPS, "KIDNEY"),
        ("WHOLEBODY", Relation.OVERLAPS, "KNEE"),
        ("CHESTABDOMEN", Relation.OVERLAPS, "ABDOMENPELVIS"),
        ("CSPINE", Relation.DISJOINT, "BRAIN"),
        ("BREAST", Relation.DISJOINT, "HEART"),
        ("CHEST", Relation.DISJOINT, "ABDOMEN"),
        ("PHANTOM", Relation.DISJOINT, "WHOLEBODY"),
    ],
)
def test_anatomy_is_compared_by_part_and_whole(
    a: str, expected: Relation, b: str
) -> None:
    """Relations of body parts follow anatomy, not their names."""
    assert relation("BodyPartExamined", a, b) is expected


@pytest.mark.parametrize(
    ("value", "concept"),
    [
        ("THORAX", "CHEST"),
        ("Brain", "BRAIN"),
        ("WHOLE BODY", "WHOLEBODY"),
        ("C SPINE", "CSPINE"),
        ("C-Spine", "CSPINE"),
        ("SCHÄDEL", "SKULL"),
        ("LOWER LEG", "LOWERLEG"),
        ("LEFT KNEE", "KNEE"),
        ("KNEES", "KNEE"),
        ("CHEST_TO_PELVIS", "CHESTABDPELVIS"),
        ("ANNOON", None),
        ("", None),
    ],
)
def test_spellings_in_use_map_to_their_term(value: str, concept: str | None) -> None:
    """Spellings of scanners map to a term; a value without a meaning maps to None."""
    assert normalize("BodyPartExamined", value) == concept
    assert not is_defined("BodyPartExamined", value)


def test_a_misspelt_term_has_a_nearest_one() -> None:
    """Two swapped letters still give the intended term; nonsense gives None."""
    assert nearest_term("BodyPartExamined", "ABDOMNE") == "ABDOMEN"
    assert nearest_term("BodyPartExamined", "THORAX") == "CHEST"
    assert nearest_term("BodyPartExamined", "ANNOON") is None
    assert nearest_term("Modality", "PET") == "PT"
    assert nearest_term("Manufacturer", "Acme") is None


def test_a_region_without_a_term_leads_to_the_one_around_it() -> None:
    """SINUS has a code but no term: its nearest term is SKULL, the region around it."""
    assert normalize("BodyPartExamined", "NNH") == "SINUS"
    assert not is_defined("BodyPartExamined", "SINUS")
    assert nearest_term("BodyPartExamined", "SINUS") == "SKULL"


def test_overlapping_parts_fit_by_half_and_what_is_everywhere_fits_all() -> None:
    """A wrist agrees with HAND by half; every part agrees with VEIN and WHOLEBODY."""
    tag = "BodyPartExamined"
    assert fit(tag, "HAND", "WRIST") == 0.5
    assert fit(tag, "BRAIN", "HEAD") == 1
    assert fit(tag, "VEIN", "KNEE") == fit(tag, "KNEE", "WHOLEBODY") == 1
    assert fit(tag, "KNEE", "CHEST") == fit(tag, "PHANTOM", "WHOLEBODY") == 0


@pytest.mark.parametrize(
    ("tag", "value", "concept"),
    [
        ("Modality", "CT\\CT", "CT"),
        ("Modality", "CT\\PT", None),
        ("PatientPosition", "HEAD FIRST-SUPINE", "HFS"),
        ("PatientPosition", "FEET FIRST-DECUBITUS RIGHT", "FFDR"),
        ("BodyPartExamined", "ABDOMEN\\PELVIS", "ABDOMENPELVIS"),
        ("BodyPartExamined", "KNEE\\CHEST", None),
        ("MRAcquisitionType", "\\", None),
    ],
)
def test_several_values_mean_what_all_of_them_mean(
    tag: str, value: str, concept: str | None
) -> None:
    """Several values of a single-valued tag count only if they mean the same."""
    assert normalize(tag, value) == concept
    assert not is_defined(tag, value)


@pytest.mark.parametrize("term", BODY_PART_TERMS)
def test_a_body_part_term_means_itself(term: str) -> None:
    """A defined term is its own concept and fits its VR (CS, 16 characters)."""
    assert normalize("BodyPartExamined", term) == term
    assert is_defined("BodyPartExamined", term)
    assert len(term) <= 16


def test_modality_compares_kinds_of_pictures() -> None:
    """Projection radiographs are alike; PET, CT and mammograms are not."""
    assert relation("Modality", "CR", "DX") is Relation.OVERLAPS
    assert relation("Modality", "RG", "DX") is Relation.BROADER
    assert relation("Modality", "PT", "NM") is Relation.DISJOINT
    assert relation("Modality", "CT", "OT") is Relation.NARROWER
    assert relation("Modality", "MG", "DX") is Relation.DISJOINT
    assert normalize("Modality", "MA") == "MR"
    assert not is_defined("Modality", "MA")


@pytest.mark.parametrize(
    ("value", "family"),
    [
        ("GE MEDICAL SYSTEMS", "GE"),
        ("GEMS", "GE"),
        ("Siemens Healthineers AG", "SIEMENS"),
        ("TOSHIBA_MEC", "CANON"),
        ("Philips Medical Systems", "PHILIPS"),
        ("Acme Imaging, Inc.", "ACME IMAGING INC"),
        ("G.E. Medical", "GE"),
        ("株式会社", "株式会社"),
    ],
)
def test_manufacturers_come_in_families(value: str, family: str) -> None:
    """Manufacturer is free text: all values are valid, and one vendor is one concept."""
    assert normalize("Manufacturer", value) == family
    assert is_defined("Manufacturer", value)


@pytest.mark.parametrize(
    ("orientation", "plane"),
    [
        ((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), "AXIAL"),
        ((0.0, 1.0, 0.0, 0.0, 0.0, -1.0), "SAGITTAL"),
        ((1.0, 0.0, 0.0, 0.0, 0.0, -1.0), "CORONAL"),
        ((0.7, 0.7, 0.0, 0.0, 0.0, -1.0), "OBLIQUE"),
        ((0.0,) * 6, None),
        ((float("nan"),) * 6, None),
        ((5.0, 0.0, 0.0, 0.0, 0.2, 0.0), "AXIAL"),
        ((1e300, 0.0, 0.0, 0.0, 1e300, 0.0), "AXIAL"),
        ((1.0, 0.0, 0.0, 0.9, 0.1, 0.0), None),
        ((1.0, 0.0, 0.0, 1.0, 0.0, 0.0), None),
        ((1.0, 0.0), None),
    ],
)
def test_orientations_become_planes(
    orientation: tuple[float, ...], plane: str | None
) -> None:
    """Six cosines map to a plane; angles count, lengths do not."""
    assert normalize("ImageOrientationPatient", orientation) == plane


def test_an_oblique_plane_contradicts_none() -> None:
    """Oblique images lie between the planes."""
    tag = "ImageOrientationPatient"
    assert relation(tag, "OBLIQUE", "AXIAL") is Relation.OVERLAPS
    assert relation(tag, "AXIAL", "CORONAL") is Relation.DISJOINT


VALUES = st.text() | st.floats() | st.tuples(*[st.floats()] * 6)


@given(st.sampled_from(ALL_TAGS), VALUES)
def test_any_value_is_normalized_without_error(
    tag: str, value: str | float | tuple[float, ...]
) -> None:
    """`normalize` raises for no value and is idempotent."""
    concept = normalize(tag, value)
    nearest_term(tag, value)
    assert (
        concept is None
        or tag == "ImageOrientationPatient"
        or (normalize(tag, concept) == concept)
    )


TERMS = {
    "BodyPartExamined": BODY_PART_TERMS,
    "Modality": sorted(MODALITIES),
    "PatientPosition": sorted(PATIENT_POSITIONS),
    "MRAcquisitionType": ["2D", "3D"],
}


@given(st.sampled_from(TAGS), st.data())
def test_relations_agree_when_swapped(tag: str, data: st.DataObject) -> None:
    """If a is broader than b, then b is narrower than a, and so on."""
    a, b = (
        data.draw(st.sampled_from(TERMS[tag])),
        data.draw(st.sampled_from(TERMS[tag])),
    )
    assert relation(tag, a, b) is relation(tag, b, a).swapped
    assert (relation(tag, a, b) is Relation.EQUAL) == (a == b)
