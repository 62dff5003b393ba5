"""The flagging benchmark from folder to page, on phantoms that train in seconds."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.flagging import cost, methods, models
from benchmarks.flagging.run import main
from tests.real_parts import require
from veritag.bundles.bundle import load_bundle
from veritag.errors import ConfigurationError
from veritag.phantoms.series import phantom_series

pytestmark = pytest.mark.slow

KINDS = ("CT-HEAD", "CR-CHEST", "MG-BREAST", "US-ABDOMEN")
PATIENTS = 28
OPTIONS = (
    "--size 32 --epochs 3 --cluster-epochs 1 --clusters 6 --supervised-epochs 1 "
    "--left-out-epochs 1 --rates 0.2 --kinds uniform --draws 20 --threads 1"
).split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of phantom files of four kinds, two of each patient."""
    require(find_spec("matplotlib"), "matplotlib is not installed")
    folder = tmp_path_factory.mktemp("phantoms")
    for kind in KINDS:
        for patient in range(PATIENTS):
            series = phantom_series(kind, patient=patient, instances=2, seed=5, size=32)
            for n, ds in enumerate(series):
                path = folder / f"{kind}-{patient}-{n}.dcm"
                ds.save_as(path, enforce_file_format=True)
    return folder


@pytest.fixture(scope="module")
def out(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output folder of one run of the benchmark."""
    out = tmp_path_factory.mktemp("flagging")
    with pytest.MonkeyPatch.context() as fewer:
        fewer.setattr(cost, "FILES", 8)
        fewer.setattr(methods, "TREES", 20)
        run(folder, out, "--left-out", "US ABDOMEN")
    return out


def run(folder: Path, out: Path, *more: str) -> None:
    """Run the benchmark as a command does."""
    main(["--images", str(folder), "--out", str(out), *OPTIONS, *more])


def results(out: Path) -> dict[str, Any]:
    """Return the stored results."""
    return dict(json.loads((out / "flagging.json").read_text(encoding="utf-8")))


def test_every_method_is_measured_on_the_same_errors(out: Path) -> None:
    """All methods have measures on all unseen images, and Veritag a lead over each."""
    cell = results(out)["single"]["poison 0.05, uniform 0.2"]
    for result in cell["tags"].values():
        part = result["parts"]["all"]
        assert set(part["above"]) == set(part["methods"]) - {"veritag"}
        assert part["wrong"] == pytest.approx(0.2 * part["values"], abs=cell["rounds"])
        for figures in part["methods"].values():
            assert 0 <= figures["average_precision"] <= 1
            low, high = figures["average_precision_interval"]
            assert low <= high
    assert {"veritag", "supervised CNN", "rules only"} <= set(part["methods"])


def test_rules_find_a_modality_that_its_sop_class_forbids(out: Path) -> None:
    """Phantoms are DICOM files: the rules are applied to the injected values."""
    cell = results(out)["single"]["poison 0.05, uniform 0.2"]
    rules = cell["tags"]["Modality"]["parts"]["all"]["methods"]["rules only"]
    assert rules["recall"] > 0.7
    assert rules["precision"] == 1.0


def test_a_kind_that_was_left_out_is_measured(out: Path) -> None:
    """All images of the kind are counted, and the share recognized as unknown."""
    result = results(out)["left-out"]["US ABDOMEN"]
    assert result["left_out"] == 2 * PATIENTS
    assert 0 <= result["left_out_at_2_percent"] <= 1


def test_findings_cost_something(out: Path) -> None:
    """Every part of an inspection takes time."""
    cost = results(out)["cost"]["poison 0.05"]
    assert cost["files"] > 0
    assert min(cost["bare_ms"], cost["verdict_ms"], cost["judging_ms"]) > 0


def test_the_page_stands_alone(out: Path) -> None:
    """The page loads nothing from elsewhere and has every section."""
    page = (out / "report.html").read_text(encoding="utf-8")
    assert 'src="http' not in page
    assert "<link" not in page
    for title in (
        "Goals", "Single images, 20% wrong", "Reliability", "Kinds left out of training",
        "Cost of findings",
    ):  # fmt: skip
        assert title in page


def test_a_finished_run_does_nothing_again(folder: Path, out: Path) -> None:
    """The same command finds all parts and changes none."""
    before = results(out)
    models = {p: p.stat().st_mtime_ns for p in (out / "models").rglob("*")}
    run(folder, out, "--left-out", "US ABDOMEN")
    assert results(out) == before
    assert {p: p.stat().st_mtime_ns for p in (out / "models").rglob("*")} == models


def test_results_on_other_settings_are_refused(folder: Path, out: Path) -> None:
    """Results of two settings are not mixed."""
    with pytest.raises(ConfigurationError, match="other images or settings"):
        run(folder, out, "--seed", "2")


def test_a_given_bundle_is_measured_in_place_of_a_new_one(
    folder: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without cleanlab its row says so; a bundle of another split is rejected."""
    monkeypatch.setattr(models, "has_cleanlab", lambda: False)
    monkeypatch.setattr(methods, "TREES", 20)
    bundle = out / "models" / "poison-0.05" / "bundle"
    run(folder, tmp_path, "--bundle", str(bundle), "--only", "single")
    given = results(tmp_path)
    assert given["setup"]["bundle"] == load_bundle(bundle).bundle_id
    before = results(out)["single"]["poison 0.05, uniform 0.2"]["tags"]["Modality"]
    after = given["single"]["poison 0.05, uniform 0.2"]["tags"]["Modality"]
    for name in ("veritag", "veritag, without gates"):
        parts = [t["parts"]["all"]["methods"][name] for t in (before, after)]
        assert parts[0] == parts[1]
    assert not (tmp_path / "models" / "poison-0.05" / "bundle").exists()
    assert "not installed" in (tmp_path / "report.html").read_text(encoding="utf-8")
    with pytest.raises(ConfigurationError, match="its unseen patients differ"):
        run(folder, tmp_path, "--bundle", str(bundle), "--seed", "2")


def test_no_time_means_no_part(folder: Path, tmp_path: Path) -> None:
    """Without time no part is run, and the page is still written."""
    run(folder, tmp_path, "--minutes", "0")
    assert "single" not in results(tmp_path)
    assert (tmp_path / "report.html").is_file()
