"""The table of `veritag inspect`, for files with hostile values."""

from pathlib import Path

import pytest

from tests.builders.verdicts import verdict
from veritag.findings import (
    Finding,
    FindingCode,
    SeriesJudgement,
    Severity,
    TagValue,
)
from worker.inspect_report import print_report

HOSTILE = "\x1b[2J\x07\u202eX[red]Y\x9b31m\r\n"


def test_nothing_in_a_file_commands_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Control and direction characters are shown as codes, markup as plain text."""
    tags: dict[str, TagValue] = {"Modality": HOSTILE, "BodyPartExamined": HOSTILE}
    one = verdict(tags=tags)
    evidence = {"reasons": [{"instances": 1, "reason": HOSTILE}]}
    code, severity = FindingCode.TAG_CONTRADICTS_IMAGE, Severity.ERROR
    finding = Finding(
        code, severity, "BodyPartExamined", HOSTILE, 1.0, evidence=evidence
    )
    judged = [(HOSTILE, [one], SeriesJudgement(1, False, (finding,), ()))]
    print_report(judged, [(Path(HOSTILE), HOSTILE)], 1, "vb-1")
    shown = capsys.readouterr().out
    raw = {c for c in shown if not c.isprintable()} - {"\n"}
    assert raw == set()
    assert "[red]Y" in shown.replace("\n", "")
    assert "\\x1b[2J" in shown.replace("\n", "")
