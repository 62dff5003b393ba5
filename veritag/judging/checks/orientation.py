"""Patient Position and the orientation of the image plane.

Image and patient are tied by Image Orientation (Patient) (PS3.3 C.7.6.2.1.1), patient
and machine by Patient Position (C.7.3.1.1.2). Nothing ties the image to the machine: a
reconstruction may turn and flip its images. So no cosines of a head-first patient mean
feet first, nor those of a supine one decubitus, and any plane goes with any position in
MR. What remains is the one axis that a machine cannot turn away, and attributes that say
the same thing twice.
"""

from collections.abc import Iterator

from veritag.findings import Defect, FindingCode
from veritag.judging.checks import quoting
from veritag.judging.checks.geometry import Vector, cosine_along, cross, read_plane
from veritag.judging.checks.header import Header, sop_class
from veritag.terms.positions import GANTRY_RELATIONSHIPS, ORIENTATION_MODIFIERS

_CLEARLY = 0.5
"""Cosine of 60 degrees: no gantry tilts its slices half as far."""

_BARELY = 0.1
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
    "Patient Position and the codes of patient orientation and gantry relationship "
    "tell the same thing (PS3.3 C.7.3.1.1.2, C.8.4.6)."
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
    # What enters the gantry first, and the axis of the patient that lies along it.
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


def invalid(header: Header) -> Iterator[Defect]:
    """Tell of an Image Orientation (Patient) that is no orientation."""
    for holder in header.holders("PlaneOrientationSequence"):
        values = holder.values("ImageOrientationPatient")
        found = read_plane(values).flaw if values else None
        if found:
            tag, code = "ImageOrientationPatient", FindingCode.ORIENTATION_INVALID
            yield Defect(code, tag, found, (), _FORM)
            return


def disagreeing(header: Header) -> Iterator[Defect]:
    """Tell of rows and columns that letters and cosines direct differently."""
    letters = header.values("PatientOrientation")
    if len(letters) != 2 or header.value("AnatomicalOrientationType") == "QUADRUPED":  # noqa: PLR2004
        return
    plane = read_plane(header.values("ImageOrientationPatient"))
    if plane.rows is None or plane.columns is None:
        return
    for named, vector in zip(letters, (plane.rows, plane.columns), strict=True):
        direction = _DIRECTIONS.get(named[:1])
        if direction and cosine_along(vector, direction) < _BARELY:
            code, tag = FindingCode.ORIENTATIONS_DISAGREE, "PatientOrientation"
            expected = "\\".join(_named(v) for v in (plane.rows, plane.columns))
            observed = quoting.directions(letters)
            yield Defect(code, tag, observed, (expected,), _LETTERS_RULE)
            return


def _named(vector: Vector) -> str:
    """Return the letter of the body axis that a vector runs along most."""
    return max(_DIRECTIONS, key=lambda name: cosine_along(vector, _DIRECTIONS[name]))


def against_position(header: Header) -> Iterator[Defect]:
    """Tell of a Patient Position that plane or codes rule out; once is enough."""
    position = header.value("PatientPosition")
    if position[:2] in _AXES:
        yield from [*_against_plane(header, position), *_against_codes(header)][:1]


def _against_plane(header: Header, position: str) -> Iterator[Defect]:
    acquired = header.values("ImageType")[:3] == ["ORIGINAL", "PRIMARY", "AXIAL"]
    if sop_class(header) != "2" or not acquired:
        return
    plane = read_plane(header.values("ImageOrientationPatient"))
    if plane.rows is None or plane.columns is None:
        return
    normal = cross(plane.rows, plane.columns)
    if abs(cosine_along(normal, _AXES[position[:2]])) < _CLEARLY:
        yield _position(position, (), _AXIAL_RULE)


def _against_codes(header: Header) -> Iterator[Defect]:
    position = header.value("PatientPosition")
    first, posture = position[:2], position[2:]
    for item in header.items("PatientGantryRelationshipCodeSequence"):
        said = GANTRY_RELATIONSHIPS.get(item.value("CodeValue"))
        if said and first in {"HF", "FF"} and first != said:
            yield _position(position, (_MEANINGS[said],), _CODES_RULE)
    for item in header.items("PatientOrientationCodeSequence"):
        for modifier in item.items("PatientOrientationModifierCodeSequence"):
            said = ORIENTATION_MODIFIERS.get(modifier.value("CodeValue"))
            # Which side "left" names is read in two ways: lying is all that is compared.
            if said and posture[:1] != said[:1]:
                yield _position(position, (_MEANINGS[said],), _CODES_RULE)


def _position(observed: str, expected: tuple[str, ...], rule: str) -> Defect:
    code = FindingCode.POSITION_CONTRADICTS_ORIENTATION
    return Defect(code, "PatientPosition", quoting.code(observed), expected, rule)
