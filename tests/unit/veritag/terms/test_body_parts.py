"""The table of body parts is consistent, and agrees with the codes of pydicom."""

from typing import Any, cast

import pytest
from pydicom.sr import _concepts_dict, _snomed_dict

from veritag.terms.anatomy import ANCESTORS, combined_region, nearest_defined_region
from veritag.terms.body_parts import (
    ANYWHERE,
    DEFINED,
    PARTS,
    BodyPart,
    body_part_of_code,
)
from veritag.terms.lexicon import BUILT_IN
from veritag.terms.spelling import squeeze

SNOMED_CT: set[str] = {
    code
    for codes in cast("dict[str, Any]", _concepts_dict.concepts["SCT"]).values()
    for code in codes
}
SNOMED_RT = _snomed_dict.mapping["SRT"]
WITHOUT_CODE = {
    "FETALARM", "FETALDIGIT", "FETALHEART", "FETALLEG", "FETALPOLE",
    "UPPERTRUNK", "LOWERTRUNK", "DISTALPHALANX",
}  # fmt: skip


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_every_code_is_one_that_pydicom_knows(part: BodyPart) -> None:
    """Each code is in a context group of pydicom or in its map of SNOMED RT codes."""
    known = SNOMED_CT | set(SNOMED_RT.values())
    assert set(part.codes) <= known
    assert {SNOMED_RT[code] for code in part.snomed_rt} <= set(part.codes)
    assert bool(part.codes) != (part.term in WITHOUT_CODE)


def test_the_three_tables_are_there_whole() -> None:
    """Edition 2025: 322 terms for humans (THORAX is a spelling here), 25 for animals."""
    human = [p for p in PARTS.values() if "L-1" in p.tables]
    assert len(human) == 322 - 1
    assert len(DEFINED) == 321 + 25
    assert PARTS.keys() - DEFINED == {"SINUS"}
    assert BUILT_IN.meanings["THORAX"] == "CHEST"


def test_terms_fit_their_value_representation() -> None:
    """CS allows 16 capitals, digits and underscores (PS3.5 6.2)."""
    assert all(t == squeeze(t) and len(t) <= 16 for t in PARTS)


def test_the_hierarchy_is_sound() -> None:
    """Every region is in the table, and no body part is part of itself."""
    for term, part in PARTS.items():
        assert part.part_of <= PARTS.keys() | {ANYWHERE}
        assert term not in ANCESTORS[term]


def test_no_spelling_means_two_parts() -> None:
    """A spelling is normalized, occurs once, and is not the term of another part."""
    terms: dict[str, str] = {}
    for part in PARTS.values():
        for spelling in part.spellings:
            assert spelling == squeeze(spelling)
            assert terms.setdefault(spelling, part.term) == part.term
            assert spelling == part.term or spelling not in PARTS
    assert set(terms) <= BUILT_IN.meanings.keys()


@pytest.mark.parametrize(
    ("scheme", "code", "part"),
    [
        ("SCT", "69536005", "HEAD"),
        ("SRT", "T-D1100", "HEAD"),
        ("SNM3", "T-04000", "BREAST"),
        ("99SDM", "T-A0100", "BRAIN"),
        ("SCT", "816094009", "CHEST"),
        ("SCT", "51185008", "CHEST"),
        ("SRT", "T-D4000", "ABDOMEN"),
        ("SCT", "40983000", "UPPERARM"),
        ("SCT", "80891009", "HEART"),
        ("SCT", "86598002", "LUNG"),
        ("SCT", "2095001", "SINUS"),
        ("SCT", "T-D1100", None),
        ("SRT", "69536005", None),
        ("99LOCAL", "69536005", None),
        ("SCT", "", None),
    ],
)
def test_codes_of_both_ages_lead_to_their_part(
    scheme: str, code: str, part: str | None
) -> None:
    """SNOMED CT and SNOMED RT codes map to the same parts, each in its scheme only."""
    assert body_part_of_code(scheme, code) == part


@pytest.mark.parametrize(
    ("parts", "region"),
    [
        ({"CHEST", "ABDOMEN"}, "CHESTABDOMEN"),
        ({"CHEST", "ABDOMEN", "PELVIS"}, "CHESTABDPELVIS"),
        ({"HEAD", "BRAIN"}, "BRAIN"),
        ({"LIVER", "SPLEEN"}, "ABDOMEN"),
        ({"CSPINE", "TSPINE"}, "CTSPINE"),
        ({"HAND", "FOOT"}, "EXTREMITY"),
        ({"KNEE", "WHOLEBODY"}, "WHOLEBODY"),
        ({"BRAIN", "PHANTOM"}, "PHANTOM"),
        ({"KNEE", "HEAD"}, None),
        (set(), None),
    ],
)
def test_several_parts_make_the_least_region_that_holds_them(
    parts: set[str], region: str | None
) -> None:
    """A region is ignored beside a part of it; parts without a common region give None."""
    assert combined_region(parts) == region


def test_every_part_has_a_defined_term_near() -> None:
    """A defined term can be suggested for every body part."""
    assert all(nearest_defined_region(term) in DEFINED for term in PARTS)
