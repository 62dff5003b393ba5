"""Search for attributes in the functional groups of Enhanced objects (PS3.3 C.7.6.16)."""

from collections.abc import Iterator
from typing import Any

from pydicom import Dataset

from veritag.dicom.tags.values import first_item, middle_item, raw_value

_MACROS = {
    # Attribute to the functional groups that can hold it.
    "ImageOrientationPatient": ("PlaneOrientationSequence",),
    "ExposureTimeInms": ("CTExposureSequence",),
    "ExposureInmAs": ("CTExposureSequence",),
    "AnatomicRegionSequence": ("FrameAnatomySequence",),
    "PrimaryAnatomicStructureSequence": ("FrameAnatomySequence",),
}

_ELSEWHERE = {
    # Sequences of the object itself: NM detectors (C.8.4.11), tomosynthesis (C.8.21).
    "ImageOrientationPatient": ("DetectorInformationSequence",),
    "ExposureTimeInms": ("XRay3DAcquisitionSequence",),
    "ExposureInmAs": ("XRay3DAcquisitionSequence",),
}

_UNASSIGNED = {
    # Legacy converted Enhanced objects keep other attributes here (C.7.6.16.2.25).
    "SharedFunctionalGroupsSequence": "UnassignedSharedConvertedAttributesSequence",
    "PerFrameFunctionalGroupsSequence": "UnassignedPerFrameConvertedAttributesSequence",
}


def find_value(ds: Dataset, keyword: str) -> Any:
    """Return a value of the Data Set itself, or else of its functional groups.

    The shared groups are searched first, then those of the middle frame, which is the
    frame of the tile.
    """
    value = raw_value(ds, keyword)
    if not _empty(value):
        return value
    for item in _holders(ds, keyword):
        value = raw_value(item, keyword)
        if not _empty(value):
            return value
    return None


def _empty(value: Any) -> bool:
    return value is None or (hasattr(value, "__len__") and len(value) == 0)


def _holders(ds: Dataset, keyword: str) -> Iterator[Dataset]:
    for groups, unassigned in _UNASSIGNED.items():
        group = middle_item(ds, groups)
        for sequence in (*_MACROS.get(keyword, ()), unassigned):
            item = first_item(group, sequence) if group is not None else None
            if item is not None:
                yield item
    for sequence in _ELSEWHERE.get(keyword, ()):
        item = first_item(ds, sequence)
        if item is not None:
            yield item
