"""`veritag inspect`: lines of JSON, the table, and exit statuses."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from veritag.bundles.bundle import ModelBundle
from veritag.phantoms.series import phantom_series, plant_wrong_tag
from worker.commands import register

INSTANCE_KEYS = {
    "type",
    "path",
    "sop_instance_uid",
    "series_instance_uid",
    "study_instance_uid",
    "status",
    "reason",
    "cluster",
    "cluster_probability",
    "novelty",
    "bundle_id",
}
SERIES_KEYS = {
    "type",
    "series_instance_uid",
    "instances",
    "unknown_kind",
    "findings",
    "judgements",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clean series, one with a wrong tag, and files that are no DICOM."""
    clean = phantom_series("CT-HEAD", patient=1, instances=3, seed=4)
    wrong = phantom_series("MR-KNEE", patient=2, instances=3, seed=4)
    plant_wrong_tag(wrong, "BodyPartExamined", "CHEST")
    for n, ds in enumerate([*clean, *wrong]):
        below = tmp_path / "images" / f"part {n % 2}"
        below.mkdir(parents=True, exist_ok=True)
        ds.save_as(below / f"{n}.dcm", enforce_file_format=True)
    (tmp_path / "images" / "notes.txt").write_text("nothing to see")
    (tmp_path / "images" / "page.dcm").write_text("<html>")
    (tmp_path / "images" / "empty").touch()
    return tmp_path / "images"


def run(bundle: ModelBundle, *arguments: str | Path) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    environment = {"VERITAG_BUNDLE_DIR": str(bundle.path)}
    return CliRunner().invoke(app, ["inspect", *map(str, arguments)], env=environment)


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return [
        json.loads(line, parse_constant=refuse) for line in result.stdout.splitlines()
    ]


def test_jsonl_has_instances_and_then_series(bundle: ModelBundle, folder: Path) -> None:
    """Every file has a line with the agreed keys; the series follow."""
    printed = lines(run(bundle, "--format", "jsonl", folder))
    kinds = [line["type"] for line in printed]
    assert kinds == ["instance"] * 9 + ["series"] * 2
    assert all(set(line) == INSTANCE_KEYS for line in printed[:9])
    assert all(set(line) == SERIES_KEYS for line in printed[9:])
    reasons = {
        Path(line["path"]).name: line["reason"]
        for line in printed[:9]
        if line["status"] == "unreadable"
    }
    assert reasons == {
        "notes.txt": "not a DICOM file",
        "page.dcm": "not a DICOM file but an HTML page",
        "empty": "the file is empty",
    }


def test_a_planted_error_is_in_the_findings(bundle: ModelBundle, folder: Path) -> None:
    """One series is in order, the other has the wrong body part, with what fits.

    A side for the chest, which the knee had, is found by rule as well.
    """
    series = [
        ln
        for ln in lines(run(bundle, "--format", "jsonl", folder))
        if ln["type"] == "series"
    ]
    findings = {s["judgements"][0]["observed"]: s["findings"] for s in series}
    assert findings["CT"] == []
    by_code = {f["code"]: f for f in findings["MR"]}
    assert set(by_code) == {"TAG_CONTRADICTS_IMAGE", "LATERALITY_CONTRADICTS_BODY_PART"}
    finding = by_code["TAG_CONTRADICTS_IMAGE"]
    assert finding["severity"] == "ERROR"
    assert (finding["tag"], finding["observed"]) == ("BodyPartExamined", "CHEST")
    assert finding["expected"][0]["value"] == "KNEE"
    assert 0 <= finding["score"] <= 1
    judged = {j["tag"]: j["probability_wrong"] for j in series[0]["judgements"]}
    assert judged["BodyPartExamined"] is not None
    assert judged["Manufacturer"] is None


def test_the_table_says_it_in_words(bundle: ModelBundle, folder: Path) -> None:
    """The table has findings by series, reasons of unreadable files and a summary."""
    result = run(bundle, folder)
    assert result.exit_code == 0
    text = " ".join(result.stdout.replace("│", " ").split())
    assert "TAG_CONTRADICTS_IMAGE" in text
    assert "expected KNEE" in text
    assert "not a DICOM file but an HTML page" in text
    assert "9 files, 2 series, 1 with findings, 3 unreadable" in text


def test_a_path_that_is_not_there_is_a_usage_error(bundle: ModelBundle) -> None:
    """Exit status 2, and the path is named."""
    result = run(bundle, "/nowhere/at/all")
    assert result.exit_code == 2
    assert "/nowhere/at/all" in result.output


def test_the_same_file_twice_is_two_lines(bundle: ModelBundle, folder: Path) -> None:
    """Files named and files in folders are all inspected, in order."""
    one = folder / "part 0" / "0.dcm"
    printed = lines(run(bundle, "--format", "jsonl", one, one))
    assert [line["type"] for line in printed] == ["instance", "instance", "series"]
    assert printed[-1]["instances"] == 2


@pytest.mark.slow
def test_a_reader_that_goes_away_gets_no_traceback(
    bundle: ModelBundle, folder: Path
) -> None:
    """`veritag inspect ... | head -1` ends without a traceback."""
    code = (
        "import typer; from worker.commands import register; app = typer.Typer();"
        "app.callback()(lambda: None); register(app); app()"
    )
    command = [sys.executable, "-c", code, "inspect", "--format", "jsonl"]
    process = subprocess.Popen(
        [*command, "--bundle", str(bundle.path), *[str(folder)] * 40],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read().decode()
    process.stderr.close()
    process.wait(120)
    assert "Traceback" not in errors


def test_series_of_one_study_are_told_of_one_another(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    """The tags of the other series are in the evidence of the wrong one."""
    right = phantom_series("MR-KNEE", patient=2, instances=2, seed=4)
    wrong = phantom_series("MR-KNEE", patient=3, instances=2, seed=4)
    plant_wrong_tag(wrong, "BodyPartExamined", "CHEST")
    for n, ds in enumerate([*right, *wrong]):
        ds.StudyInstanceUID = right[0].StudyInstanceUID
        ds.save_as(tmp_path / f"{n}.dcm", enforce_file_format=True)
    printed = lines(run(bundle, "--format", "jsonl", tmp_path))
    [finding] = [
        finding
        for line in printed
        if line["type"] == "series"
        for finding in line["findings"]
        if finding["code"] == "TAG_CONTRADICTS_IMAGE"
    ]
    assert finding["evidence"]["study"] == [{"value": "KNEE", "series": 1}]
    assert finding["evidence"]["support"] >= 1
