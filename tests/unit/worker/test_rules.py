"""Defects and facts on their way from a file to what is printed of its series."""

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
    """Return the line that `veritag inspect` prints of the only series."""
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    told = CliRunner().invoke(
        app,
        ["inspect", "--format", "jsonl", str(folder)],
        env={"VERITAG_BUNDLE_DIR": str(bundle.path)},
    )
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    [one] = [line for line in lines if line["type"] == "series"]
    series: dict[str, Any] = one
    return series


def save(datasets: list[Dataset], folder: Path) -> list[Path]:
    """Write Data Sets into a folder."""
    paths = [folder / f"{n}.dcm" for n in range(len(datasets))]
    for ds, path in zip(datasets, paths, strict=True):
        ds.save_as(path, enforce_file_format=True)
    return paths


def test_a_series_in_two_studies_is_told_offline(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    """Instances with one Series Instance UID stand together, and say so."""
    series = phantom_series("CT-HEAD", patient=1, instances=2, seed=4)
    series[1].StudyInstanceUID = "1.2.3.4"
    series[1].PatientID = "somebody else"
    save(series, tmp_path)
    found = {(f["code"], f["tag"]): f for f in series_of(bundle, tmp_path)["findings"]}
    several = found["SERIES_IN_SEVERAL_STUDIES", "SeriesInstanceUID"]
    assert several["evidence"] == {"studies": 2, "of": 2}
    assert found["MIXED_SERIES", "PatientID"]["severity"] == "ERROR"
    assert "somebody" not in json.dumps(list(found.values()))


def test_defects_become_findings_of_the_series(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    """What is wrong in the instances is printed once, with its rule."""
    series = phantom_series("CT-HEAD", patient=1, instances=3, seed=4)
    for ds in series:
        ds.ImageOrientationPatient = [1, 0, 0, 1, 0, 0]
        ds.PixelData = b""
    save(series, tmp_path)
    told = series_of(bundle, tmp_path)["findings"]
    [finding] = [f for f in told if f["code"] == "ORIENTATION_INVALID"]
    assert finding["observed"] == "rows and columns at 0 degrees"
    assert finding["evidence"]["instances"] == 3


def test_the_clock_is_compared_with_the_arrival(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    """What arrived long ago with a date of today was made in its future."""
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
