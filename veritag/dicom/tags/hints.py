"""Hints: what other elements say of the judged tags, kept apart from them.

Only concepts leave this module. The texts that they come from are written by people, and
names of patients have been seen in all of them.
"""

from collections.abc import Callable

from pydicom import Dataset

from veritag.dicom.tags.coded_regions import coded_region, described_codes
from veritag.dicom.tags.values import first_item, raw_value, text_of
from veritag.terms.lexicon import body_part_in_text
from veritag.terms.planes import dimensions_in_text, plane_in_text
from veritag.terms.positions import GANTRY_RELATIONSHIPS, ORIENTATION_MODIFIERS
from veritag.terms.views import body_part_of_view, body_part_of_view_code
from veritag.terms.vocabulary import vendor_of_model

Hints = dict[str, dict[str, str]]
"""Keyword of a judged tag to (keyword of the source to the concept that it names)."""

_Reader = Callable[[Dataset, str], str | None]


def _text(read: Callable[[str], str | None]) -> _Reader:
    """Return a reader of the text of one element."""

    def reader(ds: Dataset, keyword: str) -> str | None:
        text = text_of(raw_value(ds, keyword))
        return read(text) if text else None

    return reader


def _view_code(ds: Dataset, keyword: str) -> str | None:
    item = first_item(ds, keyword)
    code = text_of(raw_value(item, "CodeValue")) if item is not None else None
    return body_part_of_view_code(code) if code else None


def _gantry(ds: Dataset, keyword: str) -> str | None:
    """Return the position that NM and PET tell by code (PS3.3 C.8.4.6)."""
    orientation = first_item(ds, "PatientOrientationCodeSequence")
    if orientation is None:
        return None
    lying = first_item(orientation, "PatientOrientationModifierCodeSequence")
    entering = first_item(ds, keyword)
    if lying is None or entering is None:
        return None
    end = GANTRY_RELATIONSHIPS.get(text_of(raw_value(entering, "CodeValue")) or "")
    side = ORIENTATION_MODIFIERS.get(text_of(raw_value(lying, "CodeValue")) or "")
    return end + side if end and side else None


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
        "PerformedProtocolCodeSequence": described_codes,
        "PerformedProcedureStepDescription": _BODY_PART,
        "RequestedProcedureDescription": _BODY_PART,
        "RequestedProcedureCodeSequence": described_codes,
        "ProcedureCodeSequence": described_codes,
        "StudyDescription": _BODY_PART,
    },
    "PatientPosition": {"PatientGantryRelationshipCodeSequence": _gantry},
    "MRAcquisitionType": {
        "SeriesDescription": _DIMENSIONS,
        "ProtocolName": _DIMENSIONS,
    },
    "Manufacturer": {"ManufacturerModelName": _text(vendor_of_model)},
    "ImageOrientationPatient": {"SeriesDescription": _PLANE, "ProtocolName": _PLANE},
}
"""Where each tag is spoken of, the nearest to the picture first."""

_ONLY_FOR = {"MRAcquisitionType": frozenset({"MR"})}


def read_hints(ds: Dataset) -> Hints:
    """Return what descriptions, views and codes say of the judged tags.

    Tags and sources that say nothing, or nothing that is sure, are left out. A hint is
    no value: it is never read in place of a tag, and may be of a whole study.
    """
    modality = text_of(raw_value(ds, "Modality"))
    return {
        tag: found
        for tag, sources in _SOURCES.items()
        if modality in _ONLY_FOR.get(tag, (modality,))
        and (found := _found(ds, sources))
    }


def _found(ds: Dataset, sources: dict[str, _Reader]) -> dict[str, str]:
    said = {keyword: read(ds, keyword) for keyword, read in sources.items()}
    return {keyword: concept for keyword, concept in said.items() if concept}
