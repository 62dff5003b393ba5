"""The studies of the demo, and its comparison of findings with planted errors."""

from pathlib import Path

import pydicom
import pytest

from services.system.demo_report import DemoReport, FlaggedSeries, show_report
from services.system.demo_studies import (
    DemoStudies,
    PlantedError,
    real_files,
    write_studies,
)
from veritag.findings import ExpectedValue, Finding, FindingCode, Severity
from veritag.phantoms.series import expected_tags
from veritag.records.status import SystemCounts

PLANTED = PlantedError("CT-HEAD", "BodyPartExamined", "ABDOMEN", "HEAD", "1.2", "1.1")
CLEAN = frozenset({"1.5", "1.6"})


def finding(
    code: FindingCode = FindingCode.TAG_CONTRADICTS_IMAGE,
    tag: str = "BodyPartExamined",
    score: float = 0.9,
) -> Finding:
    expected = (ExpectedValue("HEAD", score),)
    return Finding(code, Severity.ERROR, tag, "ABDOMEN", score, expected)


def flagged(uid: str, *findings: Finding) -> FlaggedSeries:
    return FlaggedSeries(uid, "a series", "CT", 8, findings)


def report(*series: FlaggedSeries, sent: int = 10, received: int = 10) -> DemoReport:
    return DemoReport.of(
        studies=DemoStudies((PLANTED,), CLEAN),
        flagged=series,
        counts=SystemCounts(received, 10, 10, 0, 0, 0.0, 3, 1),
        sent=sent,
        refused=0,
        review_url="http://127.0.0.1:8080/",
        bundle_id="vb-1",
    )


def test_a_planted_error_is_found_by_its_tag() -> None:
    """A finding of the planted tag counts as found, with the expected values."""
    outcome = report(flagged("1.2", finding()))
    assert (outcome.planted, outcome.found, outcome.missed) == (1, 1, 0)
    assert outcome.errors[0]["expected"] == ["HEAD"]
    assert outcome.succeeded


@pytest.mark.parametrize(
    "other",
    [
        finding(tag="Modality"),
        finding(FindingCode.UNKNOWN_KIND),
        finding(FindingCode.TAG_TOO_COARSE),
    ],
)
def test_another_finding_does_not_count(other: Finding) -> None:
    """A finding of another tag or of another kind counts as missed."""
    outcome = report(flagged("1.2", other))
    assert (outcome.found, outcome.missed) == (0, 1)
    assert not outcome.succeeded


def test_a_right_series_called_wrong_is_a_false_alarm() -> None:
    """A contradiction on a clean series is a false alarm; an unknown kind is not."""
    series = (
        flagged("1.5", finding()),
        flagged("1.6", finding(FindingCode.UNKNOWN_KIND)),
    )
    outcome = report(flagged("1.2", finding()), *series)
    assert outcome.false_alarms == 1
    assert [other["series_instance_uid"] for other in outcome.others] == ["1.5", "1.6"]


def test_a_lost_instance_is_a_failure() -> None:
    """The demo fails if fewer instances are recorded than acknowledged."""
    assert not report(flagged("1.2", finding()), sent=10, received=9).succeeded


def test_people_see_found_and_missed(capsys: pytest.CaptureFixture[str]) -> None:
    """The report names the images, the review address and the outcome."""
    show_report(report(flagged("1.5", finding())))
    output = capsys.readouterr().out
    assert "missed" in output
    assert "CT-HEAD" in output
    assert "http://127.0.0.1:8080/" in output


def test_planted_studies_differ_from_the_truth_in_one_tag(tmp_path: Path) -> None:
    """Planted series hold the wrong value, clean ones the expected values."""
    studies = write_studies(tmp_path)
    wrong = {planted.series_instance_uid: planted for planted in studies.planted}
    assert {p.keyword for p in studies.planted} == {"BodyPartExamined", "Modality"}
    for path in tmp_path.iterdir():
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        right = expected_tags(path.name.rpartition("-")[0].rpartition("-")[0])
        written = {keyword: ds[keyword].value for keyword in right}
        planted = wrong.get(ds.SeriesInstanceUID)
        if planted is not None:
            right[planted.keyword] = planted.wrong
        assert written == right
    assert not studies.clean_series & wrong.keys()


# One of them is written in another encoding than it says, on purpose.
@pytest.mark.filterwarnings("ignore:Expected explicit VR")
def test_real_files_are_images_without_repeats() -> None:
    """The files of pydicom that are sent are images with distinct UIDs."""
    uids = [
        pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID
        for path in real_files()
    ]
    assert len(uids) == len(set(uids)) > 15
