"""How body parts relate: which holds which, and which show in one another's pictures."""

from collections.abc import Collection, Mapping
from functools import cache

from veritag.terms.body_parts import ANYWHERE, DEFINED, PARTS
from veritag.terms.relation import Relation


@cache
def _ancestors(term: str) -> frozenset[str]:
    above = PARTS[term].held_by - {ANYWHERE}
    return above.union(*(_ancestors(holder) for holder in above))


ANCESTORS: Mapping[str, frozenset[str]] = {term: _ancestors(term) for term in PARTS}
"""Term to every region that holds it, near or far."""

_DESCENDANTS = {
    holder: frozenset(t for t, above in ANCESTORS.items() if holder in above)
    for holder in PARTS
}

_ALL_OVER = frozenset(t for t, part in PARTS.items() if ANYWHERE in part.held_by)

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
        # The probe is in the one and looks at the other.
        "HEART": "ENDOESOPHAGEAL",
    }.items()
    for other in others.split()
)
"""Pairs whose pictures show much of one another, none of them part of the other."""

_SEEN_TOGETHER = tuple(
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
"""Organs of one region, which one cross-section shows together."""


def anatomical_relation(a: str, b: str) -> Relation:
    """Return what body part `a` is to another one, both as terms of the table."""
    if "PHANTOM" in (a, b):
        return Relation.DISJOINT
    # A whole-body series consists of all regions: no picture of one contradicts it,
    # and it is not a coarse word for one of them either. Veins are everywhere.
    if a in _ALL_OVER or b in _ALL_OVER:
        return Relation.OVERLAPS
    if a in ANCESTORS.get(b, ()):
        return Relation.BROADER
    if b in ANCESTORS.get(a, ()):
        return Relation.NARROWER
    return Relation.OVERLAPS if _share_a_picture(a, b) else Relation.DISJOINT


def is_all_over(term: str) -> bool:
    """Tell whether a concept is found anywhere in the body."""
    return term in _ALL_OVER


def _share_a_picture(a: str, b: str) -> bool:
    if frozenset((a, b)) in _NEIGHBORS:
        return True
    if any(organs.issuperset((a, b)) for organs in _SEEN_TOGETHER):
        return True
    return bool(_DESCENDANTS.get(a, frozenset()) & _DESCENDANTS.get(b, frozenset()))


def together(terms: Collection[str]) -> str | None:
    """Return the one region that several body parts make, None without one.

    What holds another of them says nothing more: HEAD and BRAIN are BRAIN. CHEST and
    ABDOMEN are CHESTABDOMEN, the least region that holds both.
    """
    named = set(terms)
    for all_of_it in ("PHANTOM", "WHOLEBODY"):
        if all_of_it in named:
            return all_of_it
    finest = named - frozenset().union(*(ANCESTORS[term] for term in named))
    if len(finest) == 1:
        return finest.pop()
    return _least_holder(finest)


def _least_holder(terms: Collection[str]) -> str | None:
    shared = [ANCESTORS[term] for term in terms]
    holders = frozenset.intersection(*shared) - _ALL_OVER if shared else frozenset()
    ranked = sorted((len(_DESCENDANTS[h]), h) for h in holders)
    return ranked[0][1] if ranked else None


def defined_holder(term: str) -> str | None:
    """Return a term, or else the least region that holds it, that Annex L defines."""
    if term in DEFINED:
        return term
    holders = sorted(
        (len(_DESCENDANTS[h]), h) for h in ANCESTORS.get(term, ()) if h in DEFINED
    )
    return holders[0][1] if holders else None
