"""Checks of the side of the body: Laterality (PS3.3 C.7.3.1), Image Laterality (C.8.11)."""

from collections.abc import Iterator

from veritag.findings import Defect, FindingCode
from veritag.judging.checks import quoting
from veritag.judging.checks.header import Header, sop_class
from veritag.terms.concepts import normalize

_TERMS = {"Laterality": frozenset("RL"), "ImageLaterality": frozenset("RLUB")}
_SIDES = frozenset("RL")
_SIDE_OF_CODE = {"24028007": "R", "G-A100": "R", "7771000": "L", "G-A101": "L"}
"""PS3.16 CID 244, right and left, by SNOMED CT and former SNOMED RT codes."""

_TYPE_1 = frozenset({"1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1"})
"""Classes with Image Laterality of Type 1: DX, mammography, intra-oral (PS3.3 C.8.11)."""

_LIMBS = frozenset(
    """
    SHOULDER CLAVICLE ACJOINT SCAPULA HUMERUS UPPERARM ELBOW FOREARM RADIUSULNA RADIUS
    ULNA WRIST HAND FINGER THUMB FEMUR THIGH KNEE PATELLA LOWERLEG TIBIAFIBULA TIBIA
    FIBULA CALF ANKLE FOOT CALCANEUS TOE
    """.split()
)
_PAIRED = _LIMBS | frozenset("BREAST EYE HIP KIDNEY OVARY TESTIS".split())
_UNPAIRED = frozenset(
    """
    HEAD BRAIN SKULL HEADNECK NECK CHEST HEART MEDIASTINUM STERNUM CHESTABDOMEN
    CHESTABDPELVIS NECKCHESTABDPELV ABDOMEN ABDOMENPELVIS PELVIS STOMACH PANCREAS SPLEEN
    BLADDER PROSTATE UTERUS SPINE CSPINE TSPINE LSPINE SSPINE CTSPINE TLSPINE LSSPINE
    COCCYX WHOLEBODY
    """.split()
)
"""Regions across the midline and single organs, as terms of PS3.16 Annex L."""

_TERM_RULE = (
    "Laterality is R or L (PS3.3 C.7.3.1), Image Laterality R, L, U or B (C.8.11.2)."
)
_MISSING_2C = (
    "Laterality is required, but may be empty, where the body part is paired and no "
    "other attribute gives the side (Type 2C, PS3.3 C.7.3.1)."
)
_MISSING_1 = "Image Laterality is of Type 1 in projection X-ray (PS3.3 C.8.11.2)."
_SAME_RULE = (
    "All attributes that give the side agree (PS3.3 C.7.3.1, C.8.11.2, C.7.6.16.2.8)."
)
_PART_RULE = (
    "A side belongs to a paired body part and to no other (PS3.3 C.7.3.1, C.8.11.2)."
)


def check_terms(header: Header) -> Iterator[Defect]:
    """Yield a defect for each side that is not an Enumerated Value."""
    for name, terms in _TERMS.items():
        value = header.value(name)
        if value and value not in terms:
            is_word = value.upper() in {"LEFT", "RIGHT"}
            expected = (value[0].upper(),) if is_word else ()
            code = FindingCode.VALUE_NOT_DEFINED
            yield Defect(code, name, quoting.quote_code(value), expected, _TERM_RULE)


def check_presence(header: Header) -> Iterator[Defect]:
    """Yield a defect of a required side that no attribute gives.

    In projection X-ray it is required of all parts except unpaired ones. Elsewhere only
    limbs are checked, because series of both breasts or hips have no term for it.
    """
    code = FindingCode.LATERALITY_MISSING
    if sop_class(header) in _TYPE_1:
        can_have_side = _body_part(header) not in _UNPAIRED
        absent = not header.value("ImageLaterality") and not _has_side(header)
        if can_have_side and absent:
            yield Defect(code, "ImageLaterality", None, (), _MISSING_1)
        return
    absent = header.text("Laterality") is None and not header.value("ImageLaterality")
    if absent and _body_part(header) in _LIMBS and not _has_side(header):
        yield Defect(code, "Laterality", None, (), _MISSING_2C)


def check_agreement(header: Header) -> Iterator[Defect]:
    """Yield a defect of attributes that give opposite sides."""
    sides = dict(_sides(header))
    if set(sides.values()) >= _SIDES:
        (first, side), *others = sides.items()
        opposite = [f"{name} {other}" for name, other in others if other != side]
        observed = f"{first} {side}, {', '.join(opposite)}"
        code = FindingCode.LATERALITIES_DISAGREE
        yield Defect(code, first, observed, (), _SAME_RULE)


def check_body_part(header: Header) -> Iterator[Defect]:
    """Yield a defect of an unpaired part with a side, or of a paired part with U."""
    part = _body_part(header)
    for name in _TERMS:
        side = header.value(name)
        one_sided = side in _SIDES and part in _UNPAIRED
        sideless = side == "U" and name == "ImageLaterality" and part in _PAIRED
        if one_sided or sideless:
            code = FindingCode.LATERALITY_CONTRADICTS_BODY_PART
            yield Defect(code, name, f"{side} with {part}", (), _PART_RULE)
            return


def _body_part(header: Header) -> str | None:
    received = header.value("BodyPartExamined")
    # Far longer than a Code String can be (PS3.5 6.2): not a body part.
    short = received and len(received) <= 64  # noqa: PLR2004
    return normalize("BodyPartExamined", received) if short else None


def _has_side(header: Header) -> bool:
    return next(_sides(header), None) is not None


def _sides(header: Header) -> Iterator[tuple[str, str]]:
    """Yield each attribute that gives one side, with the side."""
    for name in _TERMS:
        if header.value(name) in _SIDES:
            yield name, header.value(name)
    for region in header.items("AnatomicRegionSequence")[:1]:
        for modifier in region.items("AnatomicRegionModifierSequence"):
            side = _SIDE_OF_CODE.get(modifier.value("CodeValue"))
            if side:
                yield "AnatomicRegionModifierSequence", side
    for anatomy in header.items("SharedFunctionalGroupsSequence")[:1]:
        for frame in anatomy.items("FrameAnatomySequence")[:1]:
            if frame.value("FrameLaterality") in _SIDES:
                yield "FrameLaterality", frame.value("FrameLaterality")
