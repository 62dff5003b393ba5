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

_TAGS = {
    keyword: tag_for_keyword(keyword) or 0
    for keyword in (
        *JUDGED_TAGS,
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
    """Return a value, None where the element is absent or cannot be read."""
    tag = _TAGS.get(keyword) or tag_for_keyword(keyword)
    if tag is None or tag not in ds:
        return None
    try:
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
    kept = "".join(c for c in str(value) if c.isprintable())
    return kept.strip()[:_LONGEST] or None


def _number(value: Any) -> float | None:
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _orientation(value: Any) -> tuple[float, ...] | None:
    if not isinstance(value, MultiValue) or len(value) != _ORIENTATION_VALUES:
        return None
    numbers = tuple(_number(part) for part in value)
    kept = tuple(n for n in numbers if n is not None)
    return kept if len(kept) == _ORIENTATION_VALUES else None


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
