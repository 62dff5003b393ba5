"""Defects of real files: the known ones and no others."""

import csv
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset

from tests.real_parts import program
from tests.unit.veritag.judging.checks.builders import ARRIVAL
from tests.unit.veritag.judging.checks.dciodvfy import (
    Fault,
    Report,
    faults_of,
    run_dciodvfy,
)
from veritag.dicom.read_instance import open_instance
from veritag.errors import UnusableInstance
from veritag.findings import Defect
from veritag.judging.checks import check_instance

KNOWN = {
    # Objects without UIDs of the hierarchy, most of them made to test decoders.
    ("ATTRIBUTE_MISSING", "SOPClassUID"): 9,
    ("ATTRIBUTE_MISSING", "SOPInstanceUID"): 12,
    ("ATTRIBUTE_MISSING", "StudyInstanceUID"): 12,
    ("ATTRIBUTE_MISSING", "SeriesInstanceUID"): 11,
    # MR and CT that lost their Frame of Reference when they were de-identified.
    ("ATTRIBUTE_MISSING", "FrameOfReferenceUID"): 14,
    # A CT and an MR object whose pictures have no position in the body.
    ("ATTRIBUTE_MISSING", "ImageOrientationPatient"): 2,
    ("ATTRIBUTE_MISSING", "ImagePositionPatient"): 2,
    ("ATTRIBUTE_MISSING", "PixelSpacing"): 2,
    ("ATTRIBUTE_MISSING", "ImageType"): 1,
    ("ATTRIBUTE_MISSING", "ScanningSequence"): 1,
    # One MR series with an empty value.
    ("ATTRIBUTE_MISSING", "SequenceVariant"): 17,
    # ACR-NEMA dates with dots, and one of zeros.
    ("DATE_INVALID", "StudyDate"): 8,
    ("DATE_INVALID", "AcquisitionDate"): 2,
    ("DATE_INVALID", "PatientBirthDate"): 1,
    # Only Study Date replaced; a clock never set; birth after the study.
    ("DATES_DISAGREE", "AcquisitionDate"): 4,
    ("DATES_DISAGREE", "ContentDate"): 1,
    ("DATES_DISAGREE", "PatientBirthDate"): 1,
    # "ORIGINAL PRIMARY" in one value.
    ("IMAGE_TYPE_INVALID", "ImageType"): 1,
    # The left side of a thorax.
    ("LATERALITY_CONTRADICTS_BODY_PART", "ImageLaterality"): 1,
    # "U" and "NO".
    ("VALUE_NOT_DEFINED", "Laterality"): 2,
    # Hashes, words, a leading zero, and one UID used twice.
    ("UID_INVALID", "StudyInstanceUID"): 4,
    ("UID_INVALID", "SeriesInstanceUID"): 3,
    ("UID_INVALID", "SOPInstanceUID"): 1,
}
"""(code, tag) to the number of files of the 754, each verified by hand."""


@pytest.fixture(scope="module")
def found(corpus: Path) -> dict[str, tuple[Defect, ...]]:
    """Path to defects, for every file that can be parsed."""
    return {
        row["path"]: check_instance(ds, received_at=ARRIVAL)
        for row in _manifest(corpus)
        if (ds := _open(corpus / row["path"])) is not None
    }


def _manifest(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _open(path: Path) -> Dataset | None:
    try:
        return open_instance(path)
    except UnusableInstance:
        return None


def test_every_defect_of_the_corpus_is_known(
    found: dict[str, tuple[Defect, ...]],
) -> None:
    """The defects in 754 real files are exactly the known ones."""
    counts = Counter((str(d.code), d.tag) for ds in found.values() for d in ds)
    assert counts == KNOWN


@dataclass(frozen=True, slots=True)
class Explanation:
    """Reason why only one of the two programs reports a fault.

    Attributes
    ----------
    holds
        Whether it explains a fault, given the report of `dciodvfy` and Veritag's faults.
    """

    why: str
    holds: Callable[[Fault, Report, set[Fault]], bool]


ONLY_OURS = (
    Explanation(
        "dciodvfy ends at unreadable elements and unknown SOP Classes, before it checks "
        "modules.",
        lambda fault, report, _: report.stopped and fault[1] == "missing",
    ),
)

ONLY_THEIRS = (
    Explanation(
        "dciodvfy requires Laterality unless it knows the body part to be unpaired, "
        "LATERALITY_MISSING only for a known limb.",
        lambda fault, *_: fault == ("Laterality", "missing"),
    ),
    Explanation(
        "Required in modules without judged tags: content of whole-slide images, "
        "dates of PET series, references of structure sets.",
        lambda fault, *_: (
            fault[1] == "missing"
            and fault[0].startswith(("Content", "Series", "FrameOfReference"))
            and fault[0] != "SeriesInstanceUID"
        ),
    ),
    Explanation(
        "dciodvfy ended early and reports unread attributes as missing.",
        lambda fault, report, _: report.stopped and fault[1] == "missing",
    ),
    Explanation(
        "Of Image Type only the first two values are the same in all modalities.",
        lambda fault, report, _: fault[0] == "ImageType" and report.faults[fault] > 2,
    ),
    Explanation(
        "Veritag checks that Scanning Sequence is present, not its spelling.",
        lambda fault, *_: fault == ("ScanningSequence", "form"),
    ),
    Explanation(
        "A UID of zeros has a valid form; Veritag reports that all are equal instead.",
        lambda fault, _, own: fault[0].endswith("UID") and ("UID", "shared") in own,
    ),
)


@pytest.mark.slow
def test_dciodvfy_says_the_same_or_it_is_explained(
    corpus: Path, found: dict[str, tuple[Defect, ...]]
) -> None:
    """Each difference from dciodvfy has a listed reason, and each reason a case."""
    dciodvfy = program("dciodvfy")
    paths = _one_of_each_series(corpus, found)
    with ThreadPoolExecutor(2) as threads:
        reports = dict(
            zip(
                paths,
                threads.map(lambda p: run_dciodvfy(dciodvfy, corpus / p), paths),
                strict=True,
            )
        )
    agreed: Counter[Fault] = Counter()
    used: set[str] = set()
    unexplained = []
    for path, report in reports.items():
        ds = _open(corpus / path)
        assert ds is not None
        own = faults_of(ds, found[path])
        agreed.update(own & report.faults.keys())
        for side, faults in (
            (ONLY_OURS, own - report.faults.keys()),
            (ONLY_THEIRS, report.faults.keys() - own),
        ):
            for fault in faults:
                reasons = [e.why for e in side if e.holds(fault, report, own)]
                used.update(reasons[:1])
                if not reasons:
                    unexplained.append((path, fault))
    assert unexplained == []
    assert used == {e.why for e in (*ONLY_OURS, *ONLY_THEIRS)}
    assert agreed.total() > 90


def _one_of_each_series(
    corpus: Path, found: dict[str, tuple[Defect, ...]]
) -> list[str]:
    """Return files of each series, SOP Class and group of the corpus."""
    kinds = {
        (row["series_uid"] or row["path"], row["sop_class_name"], row["group"]): row
        for row in _manifest(corpus)
        if row["path"] in found
    }
    return [row["path"] for row in kinds.values()]
