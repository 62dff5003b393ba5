"""The side of the body, PS3.3 C.7.3.1 (Laterality) and C.8.11 (Image Laterality)."""

from collections.abc import Iterator

from veritag.findings import Defect, FindingCode
from veritag.judging.checks import quoting
from veritag.judging.checks.header import Header, sop_class
from veritag.terms.concepts import normalize

_TERMS = {"Laterality": frozenset("RL"), "ImageLaterality": frozenset("RLUB")}
_SIDES = frozenset("RL")
_SIDE_OF_CODE = {"24028007": "R", "G-A100": "R", "7771000": "L", "G-A101": "L"}
"""PS3.16 CID 244, right and left, by SNOMED CT and by the SNOMED RT codes of before."""

_TYPE_1 = frozenset({"1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1"})
"""Digital X-ray, mammography and intra-oral: PS3.3 C.8.11.2 and C.8.11.7."""

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
"""Regions that lie across the midline or are there once (PS3.16 Annex L)."""

_TERM_RULE = (
    "Laterality is R or L (PS3.3 C.7.3.1), Image Laterality R, L, U or B (C.8.11.2)."
)
_MISSING_2C = (
    "Laterality shall be there, if only empty, where the body part is paired and no "
    "other attribute tells the side (Type 2C, PS3.3 C.7.3.1)."
)
_MISSING_1 = "Image Laterality is of Type 1 in projection X-ray (PS3.3 C.8.11.2)."
_SAME_RULE = (
    "All attributes that tell the side agree (PS3.3 C.7.3.1, C.8.11.2, C.7.6.16.2.8)."
)
_PART_RULE = (
    "A side belongs to a paired body part and to no other (PS3.3 C.7.3.1, C.8.11.2)."
)


def undefined(header: Header) -> Iterator[Defect]:
    """Tell of a side that is no Enumerated Value."""
    for name, terms in _TERMS.items():
        value = header.value(name)
        if value and value not in terms:
            meant = value[:1].upper() if value.upper() in {"LEFT", "RIGHT"} else ""
            expected = (meant,) if meant else ()
            code = FindingCode.VALUE_NOT_DEFINED
            yield Defect(code, name, quoting.code(value), expected, _TERM_RULE)


def missing(header: Header) -> Iterator[Defect]:
    """Tell of a side that is required and not told.

    Required in projection X-ray, where it is told of parts that may have a side;
    elsewhere only of limbs, since series of both breasts or hips have no term for it.
    """
    code = FindingCode.LATERALITY_MISSING
    if sop_class(header) in _TYPE_1:
        may = _body_part(header) not in _UNPAIRED
        if may and not header.value("ImageLaterality") and not _told(header):
            yield Defect(code, "ImageLaterality", None, (), _MISSING_1)
        return
    silent = header.text("Laterality") is None and not header.value("ImageLaterality")
    if silent and _body_part(header) in _LIMBS and not _told(header):
        yield Defect(code, "Laterality", None, (), _MISSING_2C)


def disagreeing(header: Header) -> Iterator[Defect]:
    """Tell of attributes that name opposite sides."""
    told = dict(_sides(header))
    if set(told.values()) >= _SIDES:
        (first, side), *rest = told.items()
        others = [f"{name} {other}" for name, other in rest if other != side]
        observed = f"{first} {side}, {', '.join(others)}"
        code = FindingCode.LATERALITIES_DISAGREE
        yield Defect(code, first, observed, (), _SAME_RULE)


def against_body_part(header: Header) -> Iterator[Defect]:
    """Tell of an unpaired part with a side, or of a paired one said to have none."""
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
    # Longer than a Code String may be, it names nothing (PS3.5 6.2).
    short = received and len(received) <= 64  # noqa: PLR2004
    return normalize("BodyPartExamined", received) if short else None


def _told(header: Header) -> bool:
    return next(_sides(header), None) is not None


def _sides(header: Header) -> Iterator[tuple[str, str]]:
    """Yield each attribute that names one side, with the side."""
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
