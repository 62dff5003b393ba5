"""Lists of terms and codes agree with those of pydicom."""

from typing import Any, cast

import pytest
from pydicom.sr import _cid_dict, _concepts_dict, _snomed_dict

from veritag.terms.positions import GANTRY_RELATIONSHIPS, ORIENTATION_MODIFIERS
from veritag.terms.views import _CODES
from veritag.terms.vocabulary import (
    MODALITIES,
    MODALITY_SPELLINGS,
    VENDORS,
    vendor,
    vendor_of_model,
)


def context_group(cid: int, scheme: str) -> set[str]:
    """Return the codes of a context group of PS3.16."""
    concepts = cast("dict[str, Any]", _concepts_dict.concepts[scheme])
    names = cast("dict[str, Any]", _cid_dict.cid_concepts[cid])[scheme]
    return {
        code
        for name in names
        for code, (_, groups) in concepts[name].items()
        if cid in groups
    }


@pytest.mark.parametrize("cid", [29, 32, 33])
def test_no_modality_of_the_standard_is_missing(cid: int) -> None:
    """CID 29, 32 and 33 list the modalities by kind."""
    assert context_group(cid, "DCM") <= MODALITIES


def test_what_is_no_term_of_modality_leads_to_one() -> None:
    """Retired terms and other spellings map to a term and are not terms themselves."""
    assert not MODALITY_SPELLINGS.keys() & MODALITIES
    assert set(MODALITY_SPELLINGS.values()) <= MODALITIES
    retired = "AS CD CF CP CS DD DF DM DS EC FA FS LP MA MS OPR ST VF".split()
    assert set(retired) <= MODALITY_SPELLINGS.keys()


def test_coded_views_and_positions_are_those_of_the_standard() -> None:
    """Each code of a view or position is in its context group, as SNOMED CT or RT."""
    old = _snomed_dict.mapping["SRT"]
    for codes, cids in (
        ({c for text in _CODES.values() for c in text.split()}, (4010, 4014)),
        (ORIENTATION_MODIFIERS.keys(), (20,)),
        (GANTRY_RELATIONSHIPS.keys(), (21,)),
    ):
        known = set().union(*(context_group(cid, "SCT") for cid in cids))
        assert {old.get(code, code) for code in codes} <= known


def test_each_vendor_is_known_by_its_own_names_and_models() -> None:
    """Each name maps to its own vendor, and each model to one vendor."""
    for one in VENDORS:
        assert vendor(one.family) == one.family
        for model in one.models:
            assert vendor_of_model(f"{model} 7") == one.family
