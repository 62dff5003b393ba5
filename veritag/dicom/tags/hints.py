"""Hints at the judged tags from descriptions, views and codes.

This module returns concepts only. The texts are written by people, and each of these
elements is known to hold names of patients at times.
"""

from collections.abc import Callable

from pydicom import Dataset

from veritag.dicom.tags.coded_regions import coded_region, local_code_region
from veritag.dicom.tags.values import first_item, raw_value, text_of
from veritag.terms.lexicon import body_part_in_text
from veritag.terms.planes import dimensions_in_text, plane_in_text
from veritag.terms.positions import GANTRY_RELATIONSHIPS, ORIENTATION_MODIFIERS
from veritag.terms.views import body_part_of_view, body_part_of_view_code
from veritag.terms.vocabulary import vendor_of_model

Hints = dict[str, dict[str, str]]
"""Keyword of a judged tag to (keyword of the source element to its concept)."""

_Reader = Callable[[Dataset, str], str | None]


def _text(read: Callable[[str], str | None]) -> _Reader:
    """Return a reader that applies `read` to the text of one element."""

    def reader(ds: Dataset, keyword: str) -> str | None:
        text = text_of(raw_value(ds, keyword))
        return read(text) if text else None

    return reader


def _view_code(ds: Dataset, keyword: str) -> str | None:
    item = first_item(ds, keyword)
    code = text_of(raw_value(item, "CodeValue")) if item is not None else None
    return body_part_of_view_code(code) if code else None


def _coded_position(ds: Dataset, keyword: str) -> str | None:
    """Return the Patient Position that NM and PET encode (PS3.3 C.8.4.6)."""
    orientation = first_item(ds, "PatientOrientationCodeSequence")
    if orientation is None:
        return None
    modifier = first_item(orientation, "PatientOrientationModifierCodeSequence")
    gantry = first_item(ds, keyword)
    if modifier is None or gantry is None:
        return None
    entry = GANTRY_RELATIONSHIPS.get(text_of(raw_value(gantry, "CodeValue")) or "")
    posture = ORIENTATION_MODIFIERS.get(text_of(raw_value(modifier, "CodeValue")) or "")
    return entry + posture if entry and posture else None


_BODY_PART = _text(body_part_in_text)
_PLANE = _text(plane_in_text)
_DIMENSIONS = _text(dimensions_in_text)

_SOURCES: dict[str, dict[str, _Reader]] = {
    "BodyPartExamined": {
        "AnatomicRegionSequence": coded_region,
        "PrimaryAnatomicStructureSequence": coded_region,
        "ViewCodeSequence": _view_code,
        "ViewPosition": _text(body_part_of_view),
        "SeriesDescription": _BODY_PART,
        "ProtocolName": _BODY_PART,
        "AcquisitionDeviceProcessingDescription": _BODY_PART,
        "PerformedProtocolCodeSequence": local_code_region,
        "PerformedProcedureStepDescription": _BODY_PART,
        "RequestedProcedureDescription": _BODY_PART,
        "RequestedProcedureCodeSequence": local_code_region,
        "ProcedureCodeSequence": local_code_region,
        "StudyDescription": _BODY_PART,
    },
    "PatientPosition": {"PatientGantryRelationshipCodeSequence": _coded_position},
    "MRAcquisitionType": {
        "SeriesDescription": _DIMENSIONS,
        "ProtocolName": _DIMENSIONS,
    },
    "Manufacturer": {"ManufacturerModelName": _text(vendor_of_model)},
    "ImageOrientationPatient": {"SeriesDescription": _PLANE, "ProtocolName": _PLANE},
}
"""Sources of hints at each tag, those closest to the picture first."""

_ONLY_FOR = {"MRAcquisitionType": frozenset({"MR"})}


def read_hints(ds: Dataset) -> Hints:
    """Return the concepts of the judged tags in descriptions, views and codes.

    Tags and sources without a clear concept are left out. A hint never replaces the
    value of a tag, and may describe the whole study.
    """
    modality = text_of(raw_value(ds, "Modality"))
    return {
        tag: concepts
        for tag, sources in _SOURCES.items()
        if modality in _ONLY_FOR.get(tag, (modality,))
        and (concepts := _concepts(ds, sources))
    }


def _concepts(ds: Dataset, sources: dict[str, _Reader]) -> dict[str, str]:
    concepts = {keyword: read(ds, keyword) for keyword, read in sources.items()}
    return {keyword: concept for keyword, concept in concepts.items() if concept}
