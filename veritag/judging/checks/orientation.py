"""Checks of Image Orientation (Patient), Patient Orientation and Patient Position.

Image Orientation (Patient) relates the image to the patient (PS3.3 C.7.6.2.1.1), and
Patient Position the patient to the machine (C.7.3.1.1.2). No attribute relates the image
to the machine, because a reconstruction may rotate and flip images. So cosines alone
never contradict head first, feet first, supine or decubitus, and in MR every plane is
possible in every position. The checks are limited to the one axis that a reconstruction
cannot change, and to attributes that give the same information twice.
"""

from collections.abc import Iterator

from veritag.findings import Defect, FindingCode
from veritag.judging.checks import quoting
from veritag.judging.checks.geometry import Vector, cosine_along, cross, read_plane
from veritag.judging.checks.header import Header, sop_class
from veritag.terms.positions import GANTRY_RELATIONSHIPS, ORIENTATION_MODIFIERS

_CLEARLY = 0.5
"""Cosine of 60 degrees: gantries tilt slices by less than half of it."""

_BARELY = 0.1
"""Least cosine between a vector and the direction that its letter names."""

_FORM = (
    "The rows and columns of Image Orientation (Patient) are two unit vectors at a "
    "right angle (PS3.3 C.7.6.2.1.1)."
)
_LETTERS_RULE = (
    "The first letters of Patient Orientation name the directions of rows and columns "
    "(PS3.3 C.7.6.1.1.1), which Image Orientation (Patient) gives as cosines."
)
_AXIAL_RULE = (
    "An axial CT slice as acquired lies across the axis of the gantry (PS3.3 "
    "C.8.2.1.1.1), along which Patient Position puts the patient (C.7.3.1.1.2)."
)
_CODES_RULE = (
    "Patient Position agrees with the codes of patient orientation and gantry "
    "relationship (PS3.3 C.7.3.1.1.2, C.8.4.6)."
)

# PS3.3 C.7.6.2.1.1: x grows to the patient's left, y to the back, z to the head.
_DIRECTIONS: dict[str, Vector] = {
    "L": (1.0, 0.0, 0.0),
    "R": (-1.0, 0.0, 0.0),
    "P": (0.0, 1.0, 0.0),
    "A": (0.0, -1.0, 0.0),
    "H": (0.0, 0.0, 1.0),
    "F": (0.0, 0.0, -1.0),
}
_AXES = {
    # Part that enters the gantry first, and the body axis along the gantry.
    "HF": (0.0, 0.0, 1.0),
    "FF": (0.0, 0.0, 1.0),
    "LF": (1.0, 0.0, 0.0),
    "RF": (1.0, 0.0, 0.0),
    "AF": (0.0, 1.0, 0.0),
    "PF": (0.0, 1.0, 0.0),
}


_MEANINGS = {
    "HF": "headfirst",
    "FF": "feet-first",
    "S": "supine",
    "P": "prone",
    "DR": "right lateral decubitus",
    "DL": "left lateral decubitus",
}


def check_cosines(header: Header) -> Iterator[Defect]:
    """Yield a defect if Image Orientation (Patient) is not a valid orientation."""
    for place in header.with_macro("PlaneOrientationSequence"):
        values = place.values("ImageOrientationPatient")
        flaw = read_plane(values).flaw if values else None
        if flaw:
            tag, code = "ImageOrientationPatient", FindingCode.ORIENTATION_INVALID
            yield Defect(code, tag, flaw, (), _FORM)
            return


def check_letters(header: Header) -> Iterator[Defect]:
    """Yield a defect if Patient Orientation contradicts the cosines."""
    letters = header.values("PatientOrientation")
    if len(letters) != 2 or header.value("AnatomicalOrientationType") == "QUADRUPED":  # noqa: PLR2004
        return
    plane = read_plane(header.values("ImageOrientationPatient"))
    if plane.rows is None or plane.columns is None:
        return
    for value, vector in zip(letters, (plane.rows, plane.columns), strict=True):
        direction = _DIRECTIONS.get(value[:1])
        if direction and cosine_along(vector, direction) < _BARELY:
            code, tag = FindingCode.ORIENTATIONS_DISAGREE, "PatientOrientation"
            expected = "\\".join(
                _main_direction(v) for v in (plane.rows, plane.columns)
            )
            observed = quoting.quote_directions(letters)
            yield Defect(code, tag, observed, (expected,), _LETTERS_RULE)
            return


def _main_direction(vector: Vector) -> str:
    """Return the letter of the direction that is closest to a vector."""
    return max(_DIRECTIONS, key=lambda name: cosine_along(vector, _DIRECTIONS[name]))


def check_position(header: Header) -> Iterator[Defect]:
    """Yield one defect if the plane or codes contradict Patient Position."""
    position = header.value("PatientPosition")
    if position[:2] in _AXES:
        yield from [*_check_plane(header, position), *_check_codes(header)][:1]


def _check_plane(header: Header, position: str) -> Iterator[Defect]:
    acquired = header.values("ImageType")[:3] == ["ORIGINAL", "PRIMARY", "AXIAL"]
    if sop_class(header) != "2" or not acquired:
        return
    plane = read_plane(header.values("ImageOrientationPatient"))
    if plane.rows is None or plane.columns is None:
        return
    normal = cross(plane.rows, plane.columns)
    if abs(cosine_along(normal, _AXES[position[:2]])) < _CLEARLY:
        yield _position_defect(position, (), _AXIAL_RULE)


def _check_codes(header: Header) -> Iterator[Defect]:
    position = header.value("PatientPosition")
    first, posture = position[:2], position[2:]
    for item in header.items("PatientGantryRelationshipCodeSequence"):
        entry = GANTRY_RELATIONSHIPS.get(item.value("CodeValue"))
        if entry and first in {"HF", "FF"} and first != entry:
            yield _position_defect(position, (_MEANINGS[entry],), _CODES_RULE)
    for item in header.items("PatientOrientationCodeSequence"):
        for modifier in item.items("PatientOrientationModifierCodeSequence"):
            coded = ORIENTATION_MODIFIERS.get(modifier.value("CodeValue"))
            # "Left decubitus" can mean lying on the left or left side up: not compared.
            if coded and posture[:1] != coded[:1]:
                yield _position_defect(position, (_MEANINGS[coded],), _CODES_RULE)


def _position_defect(observed: str, expected: tuple[str, ...], rule: str) -> Defect:
    code = FindingCode.POSITION_CONTRADICTS_ORIENTATION
    return Defect(code, "PatientPosition", quoting.quote_code(observed), expected, rule)
