"""Relations between body parts: part and whole, and parts that one picture shows."""

from collections.abc import Collection, Mapping
from functools import cache

from veritag.terms.body_parts import ANYWHERE, DEFINED, PARTS
from veritag.terms.relation import Relation


@cache
def _ancestors(term: str) -> frozenset[str]:
    regions = PARTS[term].part_of - {ANYWHERE}
    return regions.union(*(_ancestors(region) for region in regions))


ANCESTORS: Mapping[str, frozenset[str]] = {term: _ancestors(term) for term in PARTS}
"""Term to all regions that it is part of, directly or through other regions."""

_DESCENDANTS = {
    region: frozenset(t for t, regions in ANCESTORS.items() if region in regions)
    for region in PARTS
}

_BODY_WIDE = frozenset(t for t, part in PARTS.items() if ANYWHERE in part.part_of)

_NEIGHBORS = frozenset(
    frozenset((first, other))
    for first, others in {
        "ABDOMEN": "PELVIS UTERUS",
        "CHEST": "SHOULDER",
        "SKULL": "BRAIN FACE",
        "SELLA": "BRAIN",
        "IAC": "BRAIN MASTOID EAR",
        "MASTOID": "EAR",
        "SINUS": "NOSE ORBIT",
        "SHOULDER": "UPPERARM HUMERUS",
        "ELBOW": "UPPERARM HUMERUS FOREARM RADIUSULNA RADIUS ULNA",
        "WRIST": "FOREARM RADIUSULNA RADIUS ULNA HAND METACARPUS",
        "HIP": "THIGH FEMUR",
        "KNEE": "THIGH FEMUR LOWERLEG TIBIAFIBULA TIBIA FIBULA",
        "ANKLE": "LOWERLEG TIBIAFIBULA TIBIA FIBULA FOOT CALCANEUS TARSUS HINDFOOT",
        "NECK": "CAROTID",
        "SPINE": "SIJOINT",
        # The probe is in the esophagus and images the heart.
        "HEART": "ENDOESOPHAGEAL",
    }.items()
    for other in others.split()
)
"""Pairs of which neither is part of the other, but pictures of one show the other."""

_SHOWN_TOGETHER = tuple(
    frozenset(line.split())
    for line in (
        """LIVER GALLBLADDER BILEDUCT BILIARYTRACT COMMONBILEDUCT PANCREAS PANCBILEDUCT
        PANCREATICDUCT SPLEEN STOMACH DUODENUM SMALLINTESTINE LARGEINTESTINE COLON
        KIDNEY ADRENAL ABDOMINALAORTA AORTA RETROPERITONEUM UPRURINARYTRACT URETER
        URINARYTRACT UGITRACT""",
        """BLADDER PROSTATE UTERUS OVARY CERVIX VAGINA RECTUM SIGMOID SEMVESICLE URETHRA
        ANUSRECTUMSIGMD COLON SMALLINTESTINE LARGEINTESTINE URINARYTRACT ENDORECTAL
        ENDOVAGINAL""",
        """HEART LUNG MEDIASTINUM ESOPHAGUS AORTA THORACICAORTA ASCAORTA DESCAORTA
        AORTICARCH BRONCHUS TRACHEA THYMUS CORONARYARTERY PULMONARYA PULMONARYV SVC""",
        """THYROID LARYNX TRACHEA ESOPHAGUS CAROTID PHARYNX PHARYNXLARYNX PAROTID
        SUBMANDIBULAR""",
    )
)
"""Groups of organs that one cross-section shows together."""


def anatomical_relation(a: str, b: str) -> Relation:
    """Return the relation of body part `a` to body part `b`, both terms of the table."""
    if "PHANTOM" in (a, b):
        return Relation.DISJOINT
    # A whole-body series covers all regions: no picture of one region contradicts it,
    # but it is not a broader term for that region either. Veins are everywhere.
    if a in _BODY_WIDE or b in _BODY_WIDE:
        return Relation.OVERLAPS
    if a in ANCESTORS.get(b, ()):
        return Relation.BROADER
    if b in ANCESTORS.get(a, ()):
        return Relation.NARROWER
    return Relation.OVERLAPS if _can_share_picture(a, b) else Relation.DISJOINT


def is_body_wide(term: str) -> bool:
    """Return whether a concept can be anywhere in the body."""
    return term in _BODY_WIDE


def _can_share_picture(a: str, b: str) -> bool:
    if frozenset((a, b)) in _NEIGHBORS:
        return True
    if any(organs.issuperset((a, b)) for organs in _SHOWN_TOGETHER):
        return True
    return bool(_DESCENDANTS.get(a, frozenset()) & _DESCENDANTS.get(b, frozenset()))


def combined_region(terms: Collection[str]) -> str | None:
    """Return the one region that several body parts make up, None without one.

    A region is ignored beside a part of it: HEAD and BRAIN are BRAIN. CHEST and ABDOMEN
    are CHESTABDOMEN, the smallest region that contains both.
    """
    distinct = set(terms)
    for whole in ("PHANTOM", "WHOLEBODY"):
        if whole in distinct:
            return whole
    finest = distinct - frozenset().union(*(ANCESTORS[term] for term in distinct))
    if len(finest) == 1:
        return finest.pop()
    return _smallest_common_region(finest)


def _smallest_common_region(terms: Collection[str]) -> str | None:
    regions = [ANCESTORS[term] for term in terms]
    common = frozenset.intersection(*regions) - _BODY_WIDE if regions else frozenset()
    return min(common, key=_size, default=None)


def _size(region: str) -> tuple[int, str]:
    """Return a sort key: number of parts, then the term, so that ties are stable."""
    return len(_DESCENDANTS[region]), region


def nearest_defined_region(term: str) -> str | None:
    """Return a term that Annex L defines: the term or the smallest region around it."""
    if term in DEFINED:
        return term
    regions = (region for region in ANCESTORS.get(term, ()) if region in DEFINED)
    return min(regions, key=_size, default=None)
