"""Messages of `dciodvfy` (dicom3tools) and defects of Veritag in a common form.

A fault is a pair of an attribute and a topic: `missing`, `form` (of a value), `term`
(not an Enumerated Value) or `shared` (one UID used twice). Only faults that both
programs check are kept.
"""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pydicom import Dataset

from veritag.dicom.tags import read_tags, read_uid
from veritag.findings import Defect, FindingCode
from veritag.terms.concepts import normalize
from veritag.terms.sop_classes import MODALITIES_OF

Fault: TypeAlias = tuple[str, str]

_IDENTITIES = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_DATES = "StudyDate SeriesDate AcquisitionDate ContentDate PatientBirthDate"
_TIMES = "StudyTime SeriesTime AcquisitionTime ContentTime"
_COMPARED = frozenset(
    (
        f"{_DATES} {_TIMES} SOPClassUID FrameOfReferenceUID ImageOrientationPatient"
        " ImagePositionPatient PixelSpacing ImageType ScanningSequence SequenceVariant"
        " Laterality ImageLaterality Modality"
    ).split()
).union(_IDENTITIES)

_LINE = re.compile(r"Error - </(\w+)\([0-9a-f,]+\)(?:\[(\d+)\])?> - (.*)")
_STOPPED = (
    "read failed",
    "Information Object Not found",
    "Tags out of order",
    "exceeds remaining",
)
_MESSAGES = (
    (re.compile(r"(Missing|Empty) attribute.* Type 1 "), "missing"),
    (re.compile(r"(Missing|Empty) attribute.* Type 2C "), "missing"),
    (re.compile(r"Value invalid for this VR \[(UI|DA|TM|CS)\]"), "form"),
    (re.compile(r"Orientation vector"), "form"),
    (re.compile(r"Unrecognized enumerated value"), "term"),
    (re.compile(rf"\w+ has same value as ({'|'.join(_IDENTITIES)})"), "shared"),
)

_TOPICS = {
    FindingCode.ATTRIBUTE_MISSING: "missing",
    FindingCode.LATERALITY_MISSING: "missing",
    FindingCode.UID_INVALID: "form",
    FindingCode.DATE_INVALID: "form",
    FindingCode.ORIENTATION_INVALID: "form",
    FindingCode.VALUE_NOT_DEFINED: "term",
    FindingCode.IMAGE_TYPE_INVALID: "term",
}


@dataclass(frozen=True, slots=True)
class Report:
    """Result of `dciodvfy` for one file.

    Attributes
    ----------
    faults
        Fault to the number of the value that it concerns, 0 for all.
    stopped
        Whether it ended before it had checked every module.
    """

    faults: dict[Fault, int]
    stopped: bool


def run_dciodvfy(dciodvfy: str, path: Path) -> Report:
    """Run `dciodvfy` on a file."""
    process = subprocess.run(
        [dciodvfy, "-new", str(path)], capture_output=True, check=False, timeout=300
    )
    output = process.stderr.decode("latin-1")
    faults = {}
    for attribute, value, message in _LINE.findall(output):
        topic = next((t for form, t in _MESSAGES if form.match(message)), None)
        if topic and attribute in _COMPARED:
            name = "UID" if topic == "shared" else attribute
            faults[name, topic] = int(value or 0)
    stopped = process.returncode < 0 or any(text in output for text in _STOPPED)
    return Report(faults, stopped)


def faults_of(ds: Dataset, defects: Iterable[Defect]) -> set[Fault]:
    """Return the defects as faults, and a Modality that the SOP Class excludes."""
    faults = {fault for defect in defects for fault in _faults(defect)}
    allowed = MODALITIES_OF.get(read_uid(ds, "SOPClassUID") or "")
    modality = read_tags(ds).get("Modality")
    if allowed and modality and normalize("Modality", modality) not in allowed:
        faults.add(("Modality", "term"))
    return faults


def _faults(defect: Defect) -> Iterable[Fault]:
    topic = _TOPICS.get(defect.code)
    observed = defect.observed or ""
    if topic and observed.startswith("the same as"):
        yield "UID", "shared"
    elif topic and defect.tag:
        _, _, others = observed.partition("; also ")
        for name in (defect.tag, *filter(None, others.split(", "))):
            yield name, topic
