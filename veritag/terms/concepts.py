"""Concepts that values of the judged tags mean, and relations between concepts.

BodyPartExamined is compared by anatomy (PS3.16 Annex L), Modality by the kind of
picture (PS3.3 C.7.3.1.1.1), never as strings.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from veritag.findings import TagValue
from veritag.terms import body_parts, vocabulary
from veritag.terms.anatomy import (
    anatomical_relation,
    is_body_wide,
    nearest_defined_region,
)
from veritag.terms.lexicon import Lexicon, current_lexicon
from veritag.terms.planes import plane_of
from veritag.terms.relation import Relation
from veritag.terms.spelling import squeeze

__all__ = [
    "Relation",
    "compatible",
    "fit",
    "is_defined",
    "nearest_term",
    "normalize",
    "relation",
]


def _modality(text: str) -> str | None:
    term = squeeze(text)
    if term in vocabulary.MODALITIES:
        return term
    return vocabulary.MODALITY_SPELLINGS.get(term)


def _patient_position(text: str) -> str | None:
    term = squeeze(text)
    if term in vocabulary.PATIENT_POSITIONS:
        return term
    return vocabulary.PATIENT_POSITION_SPELLINGS.get(term)


def _acquisition_type(text: str) -> str | None:
    term = squeeze(text)
    return term if term in vocabulary.ACQUISITION_TYPES else None


_NORMALIZERS: Mapping[str, Callable[[str], str | None]] = {
    "Modality": _modality,
    "PatientPosition": _patient_position,
    "MRAcquisitionType": _acquisition_type,
    "Manufacturer": vocabulary.vendor,
}

_TERMS: Mapping[str, frozenset[str]] = {
    "BodyPartExamined": body_parts.DEFINED,
    "Modality": vocabulary.MODALITIES,
    "PatientPosition": vocabulary.PATIENT_POSITIONS,
    "MRAcquisitionType": vocabulary.ACQUISITION_TYPES,
}

_PARTLY = 0.5
_CLOSE = 0.75


def normalize(tag: str, value: TagValue) -> str | None:
    """Return the concept that a value means, None where it means no known concept.

    Common spellings map to their term (THORAX to CHEST); `is_defined` returns whether
    the value itself is a defined term. ImageOrientationPatient becomes AXIAL, CORONAL,
    SAGITTAL or OBLIQUE. ExposureTime and Exposure have no concepts. Where a tag with a
    Value Multiplicity of 1 holds several values, the concept is the one that all of them
    mean; several body parts become the region that contains them.
    """
    return _normalize(tag, value, current_lexicon())


# The lexicon is part of the key: a site's own spellings replace it after the start.
@lru_cache(maxsize=4096)
def _normalize(tag: str, value: TagValue, spellings: Lexicon) -> str | None:
    if isinstance(value, tuple):
        return plane_of(value) if tag == "ImageOrientationPatient" else None
    if not isinstance(value, str):
        return None
    if tag == "BodyPartExamined":
        return spellings.of_value(value)
    normalizer = _NORMALIZERS.get(tag)
    if normalizer is None:
        return None
    concepts = {normalizer(part) for part in value.split("\\") if part.strip()}
    return concepts.pop() if len(concepts) == 1 else None


def is_defined(tag: str, value: TagValue) -> bool:
    """Return whether a value is a defined term exactly as received.

    Tags without a list of terms (Manufacturer, the numbers) accept every value.
    """
    terms = _TERMS.get(tag)
    return terms is None or value in terms


def nearest_term(tag: str, value: TagValue) -> str | None:
    """Return the defined term that a value probably means, None without one.

    For a region with a code but no term (paranasal sinus) it is the smallest region
    around it that has a term.
    """
    terms = _TERMS.get(tag)
    if terms is None or not isinstance(value, str):
        return None
    concept = normalize(tag, value) or _similar_spelling(tag, value, terms)
    if concept is None or tag != "BodyPartExamined":
        return concept
    return nearest_defined_region(concept)


def _similar_spelling(tag: str, value: str, terms: Iterable[str]) -> str | None:
    spellings: Mapping[str, str | None] = {term: term for term in terms}
    if tag == "BodyPartExamined":
        spellings = current_lexicon().meanings
    # A term has at most 16 characters (PS3.5 6.2, CS); a misspelt one is not twice as long.
    close = difflib.get_close_matches(squeeze(value)[:32], spellings, 1, _CLOSE)
    return spellings[close[0]] if close else None


@lru_cache(maxsize=16384)
def relation(tag: str, a: str, b: str) -> Relation:
    """Return the relation of concept `a` to concept `b`, both as of `normalize`."""
    if a == b:
        return Relation.EQUAL
    if tag == "BodyPartExamined":
        return anatomical_relation(a, b)
    if tag == "Modality":
        return _modality_relation(a, b)
    if tag == "ImageOrientationPatient" and "OBLIQUE" in (a, b):
        return Relation.OVERLAPS
    return Relation.DISJOINT


def compatible(tag: str, a: str, b: str) -> bool:
    """Return whether both values can be correct for one picture."""
    return relation(tag, a, b) is not Relation.DISJOINT


@lru_cache(maxsize=16384)
def fit(tag: str, a: str, b: str) -> float:
    """Return how well one value agrees with the other, in 0..1.

    1 where one contains the other, 0.5 where body parts overlap or are neighbors: a
    picture of a wrist does not rule HAND out, but is evidence against it.
    """
    ab = relation(tag, a, b)
    if ab is Relation.DISJOINT:
        return 0.0
    partly = ab is Relation.OVERLAPS and tag == "BodyPartExamined"
    return _PARTLY if partly and not (is_body_wide(a) or is_body_wide(b)) else 1.0


def _modality_relation(a: str, b: str) -> Relation:
    if b in vocabulary.NARROWER_MODALITIES.get(a, ()):
        return Relation.BROADER
    if a in vocabulary.NARROWER_MODALITIES.get(b, ()):
        return Relation.NARROWER
    if any(group.issuperset((a, b)) for group in vocabulary.SIMILAR_MODALITIES):
        return Relation.OVERLAPS
    return Relation.DISJOINT
