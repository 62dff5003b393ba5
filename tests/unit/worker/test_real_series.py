"""Real series whose tags are right though some of their pictures show something else."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from worker.commands import register


def series_of(corpus: Path, repository: str, part: str) -> list[Path]:
    """Return the files of a repository that carry a body part, its series together."""
    with (corpus / "manifest.csv").open(newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    return [
        corpus / row["path"]
        for row in rows
        if row["path"].startswith(repository)
        and row["body_part_examined"] == part
        and row["group"] == "image"
    ]


def judged(files: list[Path]) -> list[dict[str, Any]]:
    """Return the judgements of the starter bundle on the series of these files."""
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    arguments = ["inspect", "--format", "jsonl", *map(str, files)]
    result = CliRunner().invoke(app, arguments, env={"VERITAG_BUNDLE_DIR": ""})
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return [line for line in lines if line["type"] == "series"]


@pytest.mark.parametrize(
    ("repository", "part"),
    [("FNNDSC__data", "CHEST"), ("okieraised__sample-dicom", "ABDOMEN")],
)
def test_a_scan_that_reaches_beyond_its_region_is_in_order(
    corpus: Path, repository: str, part: str
) -> None:
    """Neither a chest CT with neck and abdomen nor an abdomen with heart is flagged."""
    files = series_of(corpus, repository, part)
    assert len(files) > 10
    for series in judged(files):
        findings = {(f["code"], f["tag"]) for f in series["findings"]}
        assert ("TAG_CONTRADICTS_IMAGE", "BodyPartExamined") not in findings
        assert ("MIXED_SERIES", None) not in findings
