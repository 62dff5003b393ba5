"""Body parts that a Data Set names by code (PS3.3 10.5, PS3.16 Annex L)."""

from pydicom import Dataset
from pydicom.sequence import Sequence

from veritag.dicom.tags.functional_groups import find_value
from veritag.dicom.tags.values import first_item, raw_value, text_of
from veritag.terms.body_parts import body_part_of_code
from veritag.terms.lexicon import body_part_in_text

_MOST_ITEMS = 8


def coded_region(ds: Dataset, keyword: str) -> str | None:
    """Return the body part that a code sequence names, None where it names none.

    Parameters
    ----------
    keyword
        AnatomicRegionSequence or PrimaryAnatomicStructureSequence, of the object or of
        its Frame Anatomy.
    """
    found = find_value(ds, keyword)
    if not isinstance(found, Sequence):
        return None
    regions = (_meaning(item) for item in found[:_MOST_ITEMS])
    return next((region for region in regions if region), None)


def _meaning(item: Dataset) -> str | None:
    """Return what an item's code means; its Code Meaning where we do not know the code."""
    code = text_of(raw_value(item, "CodeValue"))
    scheme = text_of(raw_value(item, "CodingSchemeDesignator"))
    known = body_part_of_code(scheme, code) if code and scheme else None
    return known or described_meaning(item)


def described_meaning(item: Dataset) -> str | None:
    """Return the body part that the Code Meaning of an item speaks of."""
    meaning = text_of(raw_value(item, "CodeMeaning"))
    return body_part_in_text(meaning) if meaning else None


def described_codes(ds: Dataset, keyword: str) -> str | None:
    """Return the body part that the first item of a sequence of local codes names."""
    item = first_item(ds, keyword)
    return described_meaning(item) if item is not None else None
