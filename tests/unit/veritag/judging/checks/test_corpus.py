"""What the checks say of real files: every defect is known, and no other is told."""

import csv
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset

from tests.real_parts import program
from tests.unit.veritag.judging.checks.objects import ARRIVAL
from tests.unit.veritag.judging.checks.peer import Fault, Report, ask, ours
from veritag.dicom.read_instance import open_instance
from veritag.errors import UnusableInstance
from veritag.findings import Defect
from veritag.judging.checks import check_instance

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


def _open(path: Path) -> Dataset | None:
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


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one side speaks and the other does not.

    Attributes
    ----------
    holds
        Whether it explains a fault, given what `dciodvfy` reports and our faults.
    """

    why: str
    holds: Callable[[Fault, Report, set[Fault]], bool]


ONLY_OURS = (
    Explanation(
        "dciodvfy stops at what it cannot read and at SOP Classes that it does not "
        "know, before it looks at modules.",
        lambda fault, report, _: report.stopped and fault[1] == "missing",
    ),
)

ONLY_THEIRS = (
    Explanation(
        "dciodvfy asks for Laterality wherever it does not know the body part to be "
        "unpaired; LATERALITY_MISSING only where it knows the part to be a limb.",
        lambda fault, *_: fault == ("Laterality", "missing"),
    ),
    Explanation(
        "Required in modules that hold no judged tag: content of whole-slide images, "
        "dates of PET series, references of structure sets.",
        lambda fault, *_: (
            fault[1] == "missing"
            and fault[0].startswith(("Content", "Series", "FrameOfReference"))
            and fault[0] != "SeriesInstanceUID"
        ),
    ),
    Explanation(
        "It stopped halfway and takes what it has not read for missing.",
        lambda fault, report, _: report.stopped and fault[1] == "missing",
    ),
    Explanation(
        "Of Image Type only the first two values are the same in all modalities.",
        lambda fault, report, _: fault[0] == "ImageType" and report.faults[fault] > 2,
    ),
    Explanation(
        "Scanning Sequence is asked for and its spelling left alone.",
        lambda fault, *_: fault == ("ScanningSequence", "form"),
    ),
    Explanation(
        "A UID of zeros has the right form; that all are equal is told instead.",
        lambda fault, _, own: fault[0].endswith("UID") and ("UID", "shared") in own,
    ),
)


def test_dciodvfy_says_the_same_or_it_is_explained(
    corpus: Path, told: dict[str, tuple[Defect, ...]]
) -> None:
    """Each difference has a reason that is written down, and each reason a case."""
    dciodvfy = program("dciodvfy")
    paths = _one_of_each_series(corpus, told)
    with ThreadPoolExecutor(2) as pool:
        reports = dict(
            zip(
                paths, pool.map(lambda p: ask(dciodvfy, corpus / p), paths), strict=True
            )
        )
    agreed: Counter[Fault] = Counter()
    used: set[str] = set()
    open_questions = []
    for path, report in reports.items():
        ds = _open(corpus / path)
        assert ds is not None
        own = ours(ds, told[path])
        agreed.update(own & report.faults.keys())
        for side, faults in (
            (ONLY_OURS, own - report.faults.keys()),
            (ONLY_THEIRS, report.faults.keys() - own),
        ):
            for fault in faults:
                why = [e.why for e in side if e.holds(fault, report, own)]
                used.update(why[:1])
                if not why:
                    open_questions.append((path, fault))
    assert open_questions == []
    assert used == {e.why for e in (*ONLY_OURS, *ONLY_THEIRS)}
    assert agreed.total() > 90


def _one_of_each_series(corpus: Path, told: dict[str, tuple[Defect, ...]]) -> list[str]:
    """Return files so that each series, SOP Class and kind of file is among them."""
    kinds = {
        (row["series_uid"] or row["path"], row["sop_class_name"], row["group"]): row
        for row in _manifest(corpus)
        if row["path"] in told
    }
    return [row["path"] for row in kinds.values()]
