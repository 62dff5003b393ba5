"""`veritag evaluate`."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model_training.evaluation.evaluate import run_evaluate
from tests.bundles import make_bundle
from veritag.bundles.bundle import ModelBundle
from veritag.cli import build_app
from veritag.errors import ConfigurationError, StopError
from veritag.phantoms.series import phantom_series
from veritag.settings import Settings


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """A bundle that knows four kinds."""
    return make_bundle(tmp_path_factory.mktemp("evaluate") / "bundle<b>")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of two kinds, a labels file, and one file that is no image."""
    folder = tmp_path_factory.mktemp("images")
    lines = ["path,modality,region"]
    for kind in ("CT-HEAD", "MR-KNEE"):
        for patient in range(3):
            (ds,) = phantom_series(kind, patient=patient, instances=1, seed=3, size=64)
            name = f"{kind}-{patient}.dcm"
            ds.save_as(folder / name, enforce_file_format=True)
            lines.append(f"{name},{kind[:2]},knee" if kind[0] == "M" else f"{name},CT,")
    (folder / "notes.txt").write_text("no image")
    (folder.parent / "curated.csv").write_text("\n".join(lines))
    return folder


def test_the_report_is_table_html_and_json(
    bundle: ModelBundle, images: Path, tmp_path: Path
) -> None:
    """Table, HTML and JSON have the same figures, and the exit status is 0."""
    out = tmp_path / "report"
    arguments = ["evaluate", str(bundle.path), "--images", str(images)]
    result = CliRunner().invoke(
        build_app(),
        [*arguments, "--out", str(out)],
        env={**os.environ, "COLUMNS": "200"},
    )
    assert result.exit_code == 0, result.output
    report = json.loads((out / "evaluation.json").read_text())
    assert (report["images"], report["patients"]) == (6, 6)
    assert report["bundle_id"] == bundle.bundle_id
    shown = f"{report['figures']['homogeneity_region']:.3f}"
    page = (out / "evaluation.html").read_text()
    assert shown in page
    assert shown in result.output
    assert "http" not in page
    assert sum(c["images"] for c in report["clusters"]) == 6
    assert "BodyPartExamined" in report["by_tag"]


def test_labels_stand_over_the_files(
    bundle: ModelBundle, images: Path, tmp_path: Path
) -> None:
    """Regions come from the CSV where it names the file; an empty one removes it."""
    labels = images / "labels-of-mine.csv"
    labels.write_text((images.parent / "curated.csv").read_text())
    evaluation = run_evaluate(
        str(bundle.path), [images], Settings(data_dir=tmp_path), labels=labels
    )
    assert evaluation.by_tag["BodyPartExamined"]["images"] == 3
    assert evaluation.by_tag["Modality"]["images"] == 6


def test_what_is_wrong_is_said(
    bundle: ModelBundle, images: Path, tmp_path: Path
) -> None:
    """Missing images, missing columns and unusable files are refused with a sentence."""
    settings = Settings(data_dir=tmp_path)
    with pytest.raises(ConfigurationError, match="name the images"):
        run_evaluate(str(bundle.path), [], settings)
    labels = tmp_path / "labels.csv"
    labels.write_text("file,modality\n")
    with pytest.raises(ConfigurationError, match="no column path, region"):
        run_evaluate(str(bundle.path), [images], settings, labels=labels)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(StopError, match="no image"):
        run_evaluate(str(bundle.path), [empty], settings)
