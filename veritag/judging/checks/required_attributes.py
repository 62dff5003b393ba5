"""Check of required attributes (Type 1, PS3.5 7.4.1).

Only those of the modules with judged tags, and the UIDs of study, series and instance.
"""

from collections.abc import Iterator

from veritag.findings import Defect, FindingCode
from veritag.judging.checks.header import Header, sop_class

_COMMON = {
    "SOPClassUID": "SOP Common Module (PS3.3 C.12.1)",
    "SOPInstanceUID": "SOP Common Module (PS3.3 C.12.1)",
}
_HIERARCHY = {
    "StudyInstanceUID": "General Study Module (PS3.3 C.7.2.1)",
    "SeriesInstanceUID": "General Series Module (PS3.3 C.7.3.1)",
}
_WITHOUT_STUDY = frozenset("131 200.1 200.3 200.7 201.1".split())
"""Protocols, approvals, displays and inventories, which belong to no study."""

_PLANE = {
    "FrameOfReferenceUID": "Frame of Reference Module (PS3.3 C.7.4.1)",
    "ImageOrientationPatient": "Image Plane Module (PS3.3 C.7.6.2)",
    "ImagePositionPatient": "Image Plane Module (PS3.3 C.7.6.2)",
    "PixelSpacing": "Image Plane Module (PS3.3 C.7.6.2)",
}
_MR = "MR Image Module (PS3.3 C.8.3.1)"
_OF_CLASS = {
    "2": {**_PLANE, "ImageType": "CT Image Module (PS3.3 C.8.2.1)"},
    "4": {**_PLANE, "ImageType": _MR, "ScanningSequence": _MR, "SequenceVariant": _MR},
    "128": {**_PLANE, "ImageType": "PET Image Module (PS3.3 C.8.9.4)"},
}


def check(header: Header) -> Iterator[Defect]:
    """Yield a defect for each Type 1 attribute that is absent or empty.

    Modality is not checked here: TAG_MISSING reports it and can suggest a value.
    """
    uid = sop_class(header)
    hierarchy = _HIERARCHY if uid and uid not in _WITHOUT_STUDY else {}
    required = _COMMON | hierarchy | _OF_CLASS.get(uid, {})
    for name, module in required.items():
        if not header.value(name):
            rule = f"{name} is of Type 1 in the {module}: it shall have a value."
            yield Defect(FindingCode.ATTRIBUTE_MISSING, name, None, (), rule)
