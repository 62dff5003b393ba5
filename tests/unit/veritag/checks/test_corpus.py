"""What the checks say of real files: every defect is known, and no other is told."""

import csv
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parts import program
from tests.unit.veritag.checks.objects import ARRIVAL
from veritag.checks import check_instance
from veritag.concepts import normalize
from veritag.errors import UnusableInstance
from veritag.findings import Defect
from veritag.read import open_instance
from veritag.sop_classes import MODALITIES_OF
from veritag.tags import read_tags, read_uid

KNOWN = {
    # Objects without their place in the hierarchy, most of them made for decoders.
    ("ATTRIBUTE_MISSING", "SOPClassUID"): 9,
    ("ATTRIBUTE_MISSING", "SOPInstanceUID"): 12,
    ("ATTRIBUTE_MISSING", "StudyInstanceUID"): 12,
    ("ATTRIBUTE_MISSING", "SeriesInstanceUID"): 11,
    # MR and CT that lost their Frame of Reference when they were de-identified.
    ("ATTRIBUTE_MISSING", "FrameOfReferenceUID"): 14,
    # A CT and an MR class around pictures without a place in the body.
    ("ATTRIBUTE_MISSING", "ImageOrientationPatient"): 2,
    ("ATTRIBUTE_MISSING", "ImagePositionPatient"): 2,
    ("ATTRIBUTE_MISSING", "PixelSpacing"): 2,
    ("ATTRIBUTE_MISSING", "ImageType"): 1,
    ("ATTRIBUTE_MISSING", "ScanningSequence"): 1,
    # One MR series in which it is empty.
    ("ATTRIBUTE_MISSING", "SequenceVariant"): 17,
    # ACR-NEMA dates with dots, and one of zeros.
    ("DATE_INVALID", "StudyDate"): 8,
    ("DATE_INVALID", "AcquisitionDate"): 2,
    ("DATE_INVALID", "PatientBirthDate"): 1,
    # Study Date replaced and the others not; a clock never set; birth after the study.
    ("DATES_DISAGREE", "AcquisitionDate"): 4,
    ("DATES_DISAGREE", "ContentDate"): 1,
    ("DATES_DISAGREE", "PatientBirthDate"): 1,
    # "ORIGINAL PRIMARY" in one value.
    ("IMAGE_TYPE_INVALID", "ImageType"): 1,
    # The left side of a thorax.
    ("LATERALITY_CONTRADICTS_BODY_PART", "ImageLaterality"): 1,
    # "U" and "NO".
    ("VALUE_NOT_DEFINED", "Laterality"): 2,
    # Hashes, words, a leading zero, and one UID for two things.
    ("UID_INVALID", "StudyInstanceUID"): 4,
    ("UID_INVALID", "SeriesInstanceUID"): 3,
    ("UID_INVALID", "SOPInstanceUID"): 1,
}
"""(code, tag) to the number of the 754 files, each of them looked at."""


@pytest.fixture(scope="module")
def told(corpus: Path) -> dict[str, tuple[Defect, ...]]:
    """Path to defects, of every file that can be parsed."""
    return {
        row["path"]: check_instance(ds, received_at=ARRIVAL)
        for row in _manifest(corpus)
        if (ds := _open(corpus / row["path"])) is not None
    }


def _manifest(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _open(path: Path):  # type: ignore[no-untyped-def]  # noqa: ANN202
    try:
        return open_instance(path)
    except UnusableInstance:
        return None


def test_every_defect_of_the_corpus_is_known(
    told: dict[str, tuple[Defect, ...]],
) -> None:
    """No check cries wolf on 754 real files, and none goes silent."""
    found = Counter((str(d.code), d.tag) for ds in told.values() for d in ds)
    assert found == KNOWN
