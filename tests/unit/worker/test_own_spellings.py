"""A site's own spellings of body parts in the findings of `veritag inspect`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from veritag.bundles.bundle import ModelBundle
from veritag.phantoms.series import phantom_series, plant_wrong_tag
from veritag.terms.lexicon import BUILT_IN, use_lexicon
from worker.commands import register


@pytest.fixture(autouse=True)
def _built_in_afterwards() -> Iterator[None]:
    yield
    use_lexicon(BUILT_IN)


def findings(bundle: ModelBundle, folder: Path, **env: str) -> dict[str, Any]:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    environment = {"VERITAG_BUNDLE_DIR": str(bundle.path), **env}
    arguments = ["inspect", "--format", "jsonl", str(folder)]
    result = CliRunner().invoke(app, arguments, env=environment)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    [series] = [line for line in lines if line["type"] == "series"]
    return {f["code"]: f for f in series["findings"]}


def test_a_sites_own_word_is_understood_when_it_says_so(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    """Without the file HOB is unknown; with it HOB is a spelling of KNEE."""
    series = phantom_series("MR-KNEE", patient=2, instances=2, seed=4)
    plant_wrong_tag(series, "BodyPartExamined", "HOB")
    (tmp_path / "images").mkdir()
    for n, ds in enumerate(series):
        ds.save_as(tmp_path / "images" / f"{n}.dcm", enforce_file_format=True)
    before = findings(bundle, tmp_path / "images")["VALUE_NOT_DEFINED"]
    assert (before["severity"], before["expected"]) == ("WARNING", [])
    file = tmp_path / "ours.toml"
    file.write_text('HOB = "KNEE"\n')
    after = findings(bundle, tmp_path / "images", VERITAG_BODY_PARTS_FILE=str(file))
    assert after["VALUE_NOT_DEFINED"]["severity"] == "INFO"
    assert after["VALUE_NOT_DEFINED"]["expected"] == [
        {"value": "KNEE", "probability": 1.0}
    ]
    assert "TAG_CONTRADICTS_IMAGE" not in after
