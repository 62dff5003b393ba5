"""The judged tags of a Data Set, as received, whatever state they are in."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from veritag.concepts import normalize
from veritag.findings import TagValue

if TYPE_CHECKING:
    from veritag.records.inspection import Identity

JUDGED_TAGS = (
    "Modality",
    "BodyPartExamined",
    "PatientPosition",
    "MRAcquisitionType",
    "Manufacturer",
    "ImageOrientationPatient",
    "ExposureTime",
    "Exposure",
)

_TEXTS = JUDGED_TAGS[:5]
_NUMBERS = {
    # Enhanced CT tells them per frame, PS3.3 C.8.15.3.8.
    "ExposureTime": "ExposureTimeInms",
    "Exposure": "ExposureInmAs",
}
_ORIENTATION_VALUES = 6
_LONGEST = 64

_IN_FUNCTIONAL_GROUPS = {
    # PS3.3 C.7.6.16.2: the macros whose item holds what single-frame objects tell once.
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "ExposureTimeInms": "CTExposureSequence",
    "ExposureInmAs": "CTExposureSequence",
    "AnatomicRegionSequence": "FrameAnatomySequence",
}

_UIDS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")

_PLAIN = frozenset((*JUDGED_TAGS, *_UIDS))
"""Elements whose VR is text in every encoding: CS, LO, DS, IS, UI (PS3.5 6.2)."""

_TAGS = {
    keyword: tag_for_keyword(keyword) or 0
    for keyword in (
        *_PLAIN,
        *_NUMBERS.values(),
        *_IN_FUNCTIONAL_GROUPS.values(),
        "AnatomicRegionSequence",
        "CodeMeaning",
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
    )
}


def read_tags(ds: Dataset) -> dict[str, TagValue]:
    """Return the judged tags that hold a value, keyword to value.

    Text is stripped; empty, unparsable and non-finite values count as absent. For
    Enhanced objects the functional groups are looked into, the shared ones first, then
    those of the middle frame. Where BodyPartExamined is absent, the term of an Anatomic
    Region (PS3.3 10.5) stands in for it.
    """
    tags: dict[str, TagValue] = {}
    for keyword in JUDGED_TAGS:
        value = _judged_value(ds, keyword)
        if value is not None:
            tags[keyword] = value
    return tags


def _judged_value(ds: Dataset, keyword: str) -> TagValue | None:
    if keyword == "BodyPartExamined":
        return _text(_value(ds, keyword)) or _anatomic_region(ds)
    if keyword in _TEXTS:
        return _text(_value(ds, keyword))
    if keyword == "ImageOrientationPatient":
        return _orientation(_anywhere(ds, keyword))
    number = _number(_value(ds, keyword))
    if number is not None:
        return number
    return _number(_anywhere(ds, _NUMBERS[keyword]))


def _value(ds: Dataset, keyword: str) -> Any:
    """Return a value, None where the element is absent or cannot be read.

    Plain text is taken as it was read: pydicom's conversion into its own types costs
    ten times as much, and nothing here needs them.
    """
    tag = _TAGS.get(keyword) or tag_for_keyword(keyword)
    if tag is None:
        return None
    try:
        element = ds.get_item(tag)
        if element is None:
            return None
        raw = element.value
        if keyword in _PLAIN and isinstance(raw, bytes) and raw.isascii():
            return raw.decode("ascii")
        return ds[tag].value
    except Exception:  # noqa: BLE001 -- a malformed element raises anything at all
        return None


def _items(ds: Dataset, keyword: str) -> list[Dataset]:
    value = _value(ds, keyword)
    try:
        return [item for item in value or () if isinstance(item, Dataset)]
    except TypeError:
        return []


def _functional_groups(ds: Dataset) -> Iterator[Dataset]:
    yield from _items(ds, "SharedFunctionalGroupsSequence")[:1]
    per_frame = _items(ds, "PerFrameFunctionalGroupsSequence")
    if per_frame:
        yield per_frame[len(per_frame) // 2]


def _anywhere(ds: Dataset, keyword: str) -> Any:
    """Return a value of the Data Set itself or else of its functional groups."""
    value = _value(ds, keyword)
    if value is not None and value != "":
        return value
    macro = _IN_FUNCTIONAL_GROUPS[keyword]
    for group in _functional_groups(ds):
        for item in _items(group, macro)[:1]:
            value = _value(item, keyword)
            if value is not None and value != "":
                return value
    return None


def _anatomic_region(ds: Dataset) -> str | None:
    regions = _anywhere(ds, "AnatomicRegionSequence")
    if not isinstance(regions, Sequence):
        return None
    for item in regions:
        meaning = _text(_value(item, "CodeMeaning"))
        return normalize("BodyPartExamined", meaning) if meaning else None
    return None


def _text(value: Any) -> str | None:
    if isinstance(value, MultiValue):
        value = "\\".join(str(part) for part in value)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if value is None or not hasattr(value, "__str__"):
        return None
    text = str(value)
    # The padding of UI values is a NUL, which is not printable.
    kept = text if text.isprintable() else "".join(filter(str.isprintable, text))
    return kept.strip()[:_LONGEST] or None


def _number(value: Any) -> float | None:
    first = _parts(value)[:1]
    value = first[0] if first else None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _parts(value: Any) -> list[Any]:
    if isinstance(value, MultiValue):
        return list(value)
    return value.split("\\") if isinstance(value, str) else [value]


def _orientation(value: Any) -> tuple[float, ...] | None:
    numbers = [_number(part) for part in _parts(value)]
    kept = tuple(n for n in numbers if n is not None)
    complete = len(kept) == len(numbers) == _ORIENTATION_VALUES
    return kept if complete else None


def read_uid(ds: Dataset, keyword: str) -> str | None:
    """Return a UID as received, None where it is absent or empty."""
    return _text(_value(ds, keyword))


def read_identity(ds: Dataset) -> "Identity":
    """Return what reviewers know study and series by; shown to them and nobody else."""
    from veritag.records.inspection import Identity

    def text(keyword: str) -> str | None:
        return _text(_value(ds, keyword))

    return Identity(
        patient_id=text("PatientID"),
        accession_number=text("AccessionNumber"),
        study_date=text("StudyDate"),
        study_description=text("StudyDescription"),
        series_description=text("SeriesDescription"),
        series_number=text("SeriesNumber"),
        modality=text("Modality"),
        body_part_examined=text("BodyPartExamined"),
        manufacturer=text("Manufacturer"),
        station_name=text("StationName"),
    )
