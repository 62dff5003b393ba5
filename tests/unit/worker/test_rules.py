"""Defects and facts of files in the findings of their series."""

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from pydicom import Dataset
from typer.testing import CliRunner

from veritag.bundles.bundle import ModelBundle
from veritag.findings import FindingCode
from veritag.phantoms.series import phantom_series
from veritag.pixels.decoding_process import DecodingLimits
from worker.commands import register
from worker.inference import Model
from worker.pipeline import Pipeline


def series_of(bundle: ModelBundle, folder: Path) -> dict[str, Any]:
    """Return the line that `veritag inspect` prints about the only series."""
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    result = CliRunner().invoke(
        app,
        ["inspect", "--format", "jsonl", str(folder)],
        env={"VERITAG_BUNDLE_DIR": str(bundle.path)},
    )
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    series: list[dict[str, Any]] = [ln for ln in lines if ln["type"] == "series"]
    [only] = series
    return only


def save(datasets: list[Dataset], folder: Path) -> list[Path]:
    """Write Data Sets into a folder."""
    paths = [folder / f"{n}.dcm" for n in range(len(datasets))]
    for ds, path in zip(datasets, paths, strict=True):
        ds.save_as(path, enforce_file_format=True)
    return paths


def test_a_series_in_two_studies_is_told_offline(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    """Instances of two studies with one Series Instance UID are one series with findings."""
    series = phantom_series("CT-HEAD", patient=1, instances=2, seed=4)
    series[1].StudyInstanceUID = "1.2.3.4"
    series[1].PatientID = "somebody else"
    save(series, tmp_path)
    findings = series_of(bundle, tmp_path)["findings"]
    by_code = {(f["code"], f["tag"]): f for f in findings}
    several = by_code["SERIES_IN_SEVERAL_STUDIES", "SeriesInstanceUID"]
    assert several["evidence"] == {"studies": 2, "of": 2}
    assert by_code["MIXED_SERIES", "PatientID"]["severity"] == "ERROR"
    assert "somebody" not in json.dumps(findings)


def test_defects_become_findings_of_the_series(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    """A defect of three instances is one finding that counts them."""
    series = phantom_series("CT-HEAD", patient=1, instances=3, seed=4)
    for ds in series:
        ds.ImageOrientationPatient = [1, 0, 0, 1, 0, 0]
        ds.PixelData = b""
    save(series, tmp_path)
    findings = series_of(bundle, tmp_path)["findings"]
    [finding] = [f for f in findings if f["code"] == "ORIENTATION_INVALID"]
    assert finding["observed"] == "rows and columns at 0 degrees"
    assert finding["evidence"]["instances"] == 3


def test_the_clock_is_compared_with_the_arrival(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    """A study date after the arrival of the file is in its future."""
    [ds] = phantom_series("CT-HEAD", patient=1, instances=1, seed=4)
    ds.StudyDate = "20260301"
    [path] = save([ds], tmp_path)
    model = Model(bundle)

    def codes(arrival: datetime) -> set[FindingCode]:
        with closing(Pipeline(1, 1024, DecodingLimits(60, 2048))) as pipeline:
            [outcome] = pipeline.run(model, [(1, path)], received=lambda _: arrival)
        assert outcome.verdict is not None
        return {defect.code for defect in outcome.verdict.defects}

    early, late = datetime(2025, 3, 1, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)
    assert FindingCode.DATE_IN_FUTURE in codes(early)
    assert FindingCode.DATE_IN_FUTURE not in codes(late)
