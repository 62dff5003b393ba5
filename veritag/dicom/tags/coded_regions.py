"""Body parts from code sequences (PS3.3 10.5, PS3.16 Annex L)."""

from pydicom import Dataset
from pydicom.sequence import Sequence

from veritag.dicom.tags.functional_groups import find_value
from veritag.dicom.tags.values import first_item, raw_value, text_of
from veritag.terms.body_parts import body_part_of_code
from veritag.terms.lexicon import body_part_in_text

_MAX_ITEMS = 8


def coded_region(ds: Dataset, keyword: str) -> str | None:
    """Return the body part that a code sequence names, None where it names none.

    Parameters
    ----------
    keyword
        AnatomicRegionSequence or PrimaryAnatomicStructureSequence, of the object or of
        its Frame Anatomy.
    """
    sequence = find_value(ds, keyword)
    if not isinstance(sequence, Sequence):
        return None
    regions = (_body_part(item) for item in sequence[:_MAX_ITEMS])
    return next((region for region in regions if region), None)


def _body_part(item: Dataset) -> str | None:
    """Return the body part of an item's code, or of its Code Meaning."""
    code = text_of(raw_value(item, "CodeValue"))
    scheme = text_of(raw_value(item, "CodingSchemeDesignator"))
    part = body_part_of_code(scheme, code) if code and scheme else None
    return part or body_part_of_meaning(item)


def body_part_of_meaning(item: Dataset) -> str | None:
    """Return the body part that the Code Meaning of an item names."""
    meaning = text_of(raw_value(item, "CodeMeaning"))
    return body_part_in_text(meaning) if meaning else None


def local_code_region(ds: Dataset, keyword: str) -> str | None:
    """Return the body part that the first Code Meaning of a local code sequence names."""
    item = first_item(ds, keyword)
    return body_part_of_meaning(item) if item is not None else None
