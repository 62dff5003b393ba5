"""Values of the judged tags as concepts: what was meant, and how two meanings relate.

BodyPartExamined is compared by anatomy (PS3.16 Annex L), Modality by the kind of
picture (PS3.3 C.7.3.1.1.1), never as strings.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import lru_cache

from veritag import body_parts, vocabulary
from veritag.findings import TagValue


class Relation(StrEnum):
    """What a first value is to a second one."""

    EQUAL = "EQUAL"
    BROADER = "BROADER"
    NARROWER = "NARROWER"
    OVERLAPS = "OVERLAPS"
    DISJOINT = "DISJOINT"

    @property
    def swapped(self) -> "Relation":
        """The relation of the second value to the first."""
        return _SWAPPED.get(self, self)


_SWAPPED = {
    Relation.BROADER: Relation.NARROWER,
    Relation.NARROWER: Relation.BROADER,
}


def _squeeze(text: str) -> str:
    """Return the letters and digits of a text, upper case and without accents."""
    plain = unicodedata.normalize("NFKD", text.upper())
    return "".join(c for c in plain if c.isascii() and c.isalnum())


def _read_table() -> tuple[dict[str, frozenset[str]], dict[str, str]]:
    parents: dict[str, frozenset[str]] = {}
    spellings: dict[str, str] = {}
    for line in body_parts.TABLE.strip().splitlines():
        term, _, rest = line.partition("<")
        held_by, _, others = rest.partition("=")
        parents[term.strip()] = frozenset(held_by.split())
        spellings |= dict.fromkeys(others.split(), term.strip())
    return parents, spellings | {term: term for term in parents}


_PARENTS, _BODY_PARTS = _read_table()


def _ancestors(term: str) -> frozenset[str]:
    above = _PARENTS.get(term, frozenset())
    return above.union(*(_ancestors(parent) for parent in above))


_ANCESTORS = {term: _ancestors(term) for term in _PARENTS}
_DESCENDANTS = {
    term: frozenset(t for t, above in _ANCESTORS.items() if term in above)
    for term in _PARENTS
}
_NEIGHBORS = frozenset(
    frozenset(line.split()) for line in body_parts.NEIGHBORS.strip().splitlines()
)
_TOGETHER = tuple(
    frozenset(line.split()) for line in body_parts.SEEN_TOGETHER.strip().splitlines()
)

_NOISE = frozenset(
    """
    LEFT RIGHT LT RT L R LI RE LINKS RECHTS BILATERAL BOTH CT MR MRI XR CR DX US PET CTA
    MRA NM W WO WITH WITHOUT AND CONTRAST CON SIN IV HR ROUTINE ADULT CHILD PEDIATRIC
    PORTABLE AP PA LAT LATERAL OBLIQUE VIEW VIEWS JOINT UNILATERAL 1VIEW 2VIEW 3VIEW
    """.split()
)
"""Words around a body part that do not change which one is meant."""


def _body_part(text: str) -> str | None:
    whole = _squeeze(text)
    words = [_squeeze(w) for w in re.split(r"[^\w]|_", text)]
    kept = "".join(w for w in words if w and w not in _NOISE)
    for spelling in (whole, kept, kept.removesuffix("S")):
        if spelling in _BODY_PARTS:
            return _BODY_PARTS[spelling]
    return None


def _modality(text: str) -> str | None:
    term = _squeeze(text)
    if term in vocabulary.MODALITIES:
        return term
    return vocabulary.MODALITY_SPELLINGS.get(term)


def _vendor(text: str) -> str | None:
    words = " ".join(re.findall(r"[A-Z0-9]+", text.upper()))
    for word, family in vocabulary.VENDORS:
        if re.search(rf"\b{word}\b", words):
            return family
    return words or None


def _patient_position(text: str) -> str | None:
    term = _squeeze(text)
    return term if term in vocabulary.PATIENT_POSITIONS else None


def _acquisition_type(text: str) -> str | None:
    term = _squeeze(text)
    return term if term in {"2D", "3D"} else None


_NORMALIZERS: Mapping[str, Callable[[str], str | None]] = {
    "BodyPartExamined": _body_part,
    "Modality": _modality,
    "PatientPosition": _patient_position,
    "MRAcquisitionType": _acquisition_type,
    "Manufacturer": _vendor,
}

_TERMS: Mapping[str, frozenset[str]] = {
    "BodyPartExamined": frozenset(_PARENTS),
    "Modality": vocabulary.MODALITIES,
    "PatientPosition": vocabulary.PATIENT_POSITIONS,
    "MRAcquisitionType": frozenset({"2D", "3D"}),
}

_PARTLY = 0.5

OBLIQUE_COSINE = 0.8
"""Least cosine between an image's normal and a body axis to be in that plane."""


def _plane(orientation: tuple[float, ...]) -> str | None:
    """Return the plane of ImageOrientationPatient (PS3.3 C.7.6.2.1.1)."""
    if len(orientation) != 6:  # noqa: PLR2004 -- two direction cosines of three
        return None
    a, b, c, d, e, f = orientation
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    length = sum(n * n for n in normal) ** 0.5
    if not 0.1 < length < 10:  # noqa: PLR2004 -- the cosines are no directions
        return None
    cosines = [abs(n) / length for n in normal]
    if max(cosines) < OBLIQUE_COSINE:
        return "OBLIQUE"
    return ("SAGITTAL", "CORONAL", "AXIAL")[cosines.index(max(cosines))]


@lru_cache(maxsize=4096)
def normalize(tag: str, value: TagValue) -> str | None:
    """Return the concept that a value means, None where it means none that we know.

    Spellings in use map to their term (THORAX to CHEST): use `is_defined` to ask
    whether the value itself is a defined term. ImageOrientationPatient becomes AXIAL,
    CORONAL, SAGITTAL or OBLIQUE. ExposureTime and Exposure have no concepts.
    """
    if isinstance(value, tuple):
        return _plane(value) if tag == "ImageOrientationPatient" else None
    normalizer = _NORMALIZERS.get(tag)
    if normalizer is None or not isinstance(value, str):
        return None
    return normalizer(value)


def is_defined(tag: str, value: TagValue) -> bool:
    """Tell whether a value is a defined term as it stands.

    Tags without a list of terms (Manufacturer, the numbers) accept every value.
    """
    terms = _TERMS.get(tag)
    return terms is None or value in terms


def nearest_term(tag: str, value: TagValue) -> str | None:
    """Return the defined term that a value probably stands for, None without one."""
    terms = _TERMS.get(tag)
    if terms is None or not isinstance(value, str):
        return None
    meant = normalize(tag, value)
    if meant is not None:
        return meant
    spellings = _BODY_PARTS if tag == "BodyPartExamined" else {t: t for t in terms}
    close = difflib.get_close_matches(_squeeze(value), spellings, n=1, cutoff=0.75)
    return spellings[close[0]] if close else None


@lru_cache(maxsize=16384)
def relation(tag: str, a: str, b: str) -> Relation:
    """Return what concept `a` is to concept `b`, both as `normalize` gives them."""
    if a == b:
        return Relation.EQUAL
    if tag == "BodyPartExamined":
        return _anatomy(a, b)
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
    return _PARTLY if partly and "WHOLEBODY" not in (a, b) else 1.0


def _anatomy(a: str, b: str) -> Relation:
    if "PHANTOM" in (a, b):
        return Relation.DISJOINT
    # A whole-body series consists of all regions: no picture of one contradicts it,
    # and it is not a coarse word for one of them either.
    if "WHOLEBODY" in (a, b):
        return Relation.OVERLAPS
    if a in _ANCESTORS.get(b, ()):
        return Relation.BROADER
    if b in _ANCESTORS.get(a, ()):
        return Relation.NARROWER
    return Relation.OVERLAPS if _share_a_picture(a, b) else Relation.DISJOINT


def _share_a_picture(a: str, b: str) -> bool:
    if frozenset((a, b)) in _NEIGHBORS:
        return True
    if _among((a, b), _TOGETHER):
        return True
    return bool(_DESCENDANTS.get(a, frozenset()) & _DESCENDANTS.get(b, frozenset()))


def _among(pair: tuple[str, str], groups: Iterable[frozenset[str]]) -> bool:
    return any(group.issuperset(pair) for group in groups)


def _picture_kind(a: str, b: str) -> Relation:
    if b in vocabulary.MODALITY_PARTS.get(a, ()):
        return Relation.BROADER
    if a in vocabulary.MODALITY_PARTS.get(b, ()):
        return Relation.NARROWER
    if _among((a, b), vocabulary.MODALITY_ALIKE):
        return Relation.OVERLAPS
    return Relation.DISJOINT
