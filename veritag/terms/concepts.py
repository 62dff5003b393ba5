"""Values of the judged tags as concepts: what was meant, and how two meanings relate.

BodyPartExamined is compared by anatomy (PS3.16 Annex L), Modality by the kind of
picture (PS3.3 C.7.3.1.1.1), never as strings.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from veritag.findings import TagValue
from veritag.terms import body_parts, vocabulary
from veritag.terms.anatomy import anatomical_relation, defined_holder, is_all_over
from veritag.terms.lexicon import Lexicon, lexicon
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
    """Return the concept that a value means, None where it means none that we know.

    Spellings in use map to their term (THORAX to CHEST): use `is_defined` to ask
    whether the value itself is a defined term. ImageOrientationPatient becomes AXIAL,
    CORONAL, SAGITTAL or OBLIQUE. ExposureTime and Exposure have no concepts. Of several
    values, where one is due, the concept is the one that all of them mean; several body
    parts make the region that holds them.
    """
    return _normalize(tag, value, lexicon())


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
    meant = {normalizer(part) for part in value.split("\\") if part.strip()}
    return meant.pop() if len(meant) == 1 else None


def is_defined(tag: str, value: TagValue) -> bool:
    """Tell whether a value is a defined term as it stands.

    Tags without a list of terms (Manufacturer, the numbers) accept every value.
    """
    terms = _TERMS.get(tag)
    return terms is None or value in terms


def nearest_term(tag: str, value: TagValue) -> str | None:
    """Return the defined term that a value probably stands for, None without one.

    For a region that is coded but has no term (paranasal sinus) it is the least region
    around it that has one.
    """
    terms = _TERMS.get(tag)
    if terms is None or not isinstance(value, str):
        return None
    meant = normalize(tag, value) or _nearly_spelt(tag, value, terms)
    if meant is None or tag != "BodyPartExamined":
        return meant
    return defined_holder(meant)


def _nearly_spelt(tag: str, value: str, terms: Iterable[str]) -> str | None:
    spellings: Mapping[str, str | None] = {term: term for term in terms}
    if tag == "BodyPartExamined":
        spellings = lexicon().meanings
    # No term is longer than 16 characters (PS3.5 6.2, CS); twice as much is no slip.
    close = difflib.get_close_matches(squeeze(value)[:32], spellings, 1, _CLOSE)
    return spellings[close[0]] if close else None


@lru_cache(maxsize=16384)
def relation(tag: str, a: str, b: str) -> Relation:
    """Return what concept `a` is to concept `b`, both as `normalize` gives them."""
    if a == b:
        return Relation.EQUAL
    if tag == "BodyPartExamined":
        return anatomical_relation(a, b)
    if tag == "Modality":
        return _picture_kind(a, b)
    if tag == "ImageOrientationPatient" and "OBLIQUE" in (a, b):
        return Relation.OVERLAPS
    return Relation.DISJOINT


def compatible(tag: str, a: str, b: str) -> bool:
    """Tell whether one picture can carry either value."""
    return relation(tag, a, b) is not Relation.DISJOINT


@lru_cache(maxsize=16384)
def fit(tag: str, a: str, b: str) -> float:
    """Return how well one value stands for the other, 0 to 1.

    1 where one holds the other, half where they overlap or are neighbors: a wrist's
    picture does not rule HAND out, and speaks against it all the same.
    """
    found = relation(tag, a, b)
    if found is Relation.DISJOINT:
        return 0.0
    partly = found is Relation.OVERLAPS and tag == "BodyPartExamined"
    return _PARTLY if partly and not (is_all_over(a) or is_all_over(b)) else 1.0


def _picture_kind(a: str, b: str) -> Relation:
    if b in vocabulary.MODALITY_PARTS.get(a, ()):
        return Relation.BROADER
    if a in vocabulary.MODALITY_PARTS.get(b, ()):
        return Relation.NARROWER
    if any(kind.issuperset((a, b)) for kind in vocabulary.MODALITY_ALIKE):
        return Relation.OVERLAPS
    return Relation.DISJOINT
