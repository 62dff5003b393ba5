"""The eight judged tags of a Data Set, as received."""

from pydicom import Dataset

from veritag.dicom.tags.coded_regions import coded_region
from veritag.dicom.tags.functional_groups import find_value
from veritag.dicom.tags.values import number_of, numbers_of, raw_value, text_of
from veritag.findings import TagValue

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

_UNITS = {
    # (attribute, its unit in units of the tag); the first one with a number counts.
    # PS3.3 C.8.7.2 for projections, C.8.15.3.8 for Enhanced CT.
    "ExposureTime": (
        ("ExposureTime", 1.0),
        ("ExposureTimeInms", 1.0),
        ("ExposureTimeInuS", 1e-3),
    ),
    "Exposure": (
        ("Exposure", 1.0),
        ("ExposureInmAs", 1.0),
        ("ExposureInuAs", 1e-3),
    ),
}

MAX_NUMBER = 1e9
"""No larger number is an exposure (in ms: twelve days) or a direction cosine."""

_ORIENTATION_VALUES = 6


def read_tags(ds: Dataset) -> dict[str, TagValue]:
    """Return the judged tags that hold a value, keyword to value.

    Text is stripped and cut to 64 characters; several values stay joined by backslashes.
    ExposureTime is in ms and Exposure in mAs, from any of the standard's attributes for
    them. Empty, unparsable, negative and impossible numbers count as absent.
    ImageOrientationPatient is six finite numbers as received, even if they are not
    orthonormal: the checks report that, and `normalize` then returns no plane.

    The functional groups of Enhanced objects are searched. Where BodyPartExamined is
    absent, a coded Anatomic Region replaces it (PS3.3 10.5 gives it the same meaning);
    descriptions never do, see `read_hints`.
    """
    tags: dict[str, TagValue] = {}
    for keyword in JUDGED_TAGS:
        value = _judged_value(ds, keyword)
        if value is not None:
            tags[keyword] = value
    return tags


def _judged_value(ds: Dataset, keyword: str) -> TagValue | None:
    if keyword == "ImageOrientationPatient":
        return _orientation(ds)
    if keyword in _UNITS:
        return _exposure(ds, keyword)
    text = text_of(raw_value(ds, keyword))
    if text is None and keyword == "BodyPartExamined":
        return coded_region(ds, "AnatomicRegionSequence")
    if text is None and keyword == "MRAcquisitionType":
        return text_of(find_value(ds, keyword))
    return text


def _exposure(ds: Dataset, keyword: str) -> float | None:
    rounded_away = None
    for attribute, unit in _UNITS[keyword]:
        number = number_of(find_value(ds, attribute))
        if number is not None and 0 < number <= MAX_NUMBER:
            # 9.15e3 us are 9.15 ms, not 9.150000000000002.
            return float(f"{number * unit:.9g}")
        if number == 0:
            # Exposure is an integer in mAs: it can be 0 where the same in uAs is not.
            rounded_away = 0.0
    return rounded_away


def _orientation(ds: Dataset) -> tuple[float, ...] | None:
    numbers = numbers_of(find_value(ds, "ImageOrientationPatient"))
    if numbers is None or len(numbers) != _ORIENTATION_VALUES:
        return None
    return numbers if max(map(abs, numbers)) <= MAX_NUMBER else None
