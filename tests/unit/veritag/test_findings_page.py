import json
import re
from pathlib import Path
from typing import Any

import pytest

from veritag.findings import FindingCode, Severity

PAGE = (Path(__file__).parents[3] / "docs" / "findings.md").read_text(encoding="utf-8")
SECTIONS = dict(
    re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
)
KEYS = ["code", "severity", "tag", "observed", "expected", "score", "evidence"]


def example(code: str) -> dict[str, Any]:
    [block] = re.findall(r"```json\n(.*?)```", SECTIONS[code], re.DOTALL)
    told: dict[str, Any] = json.loads(block)
    return told


def test_the_page_explains_every_code_and_no_other() -> None:
    """Each code that can be found has its section."""
    assert set(SECTIONS) == {code.value for code in FindingCode}


@pytest.mark.parametrize("code", list(FindingCode))
def test_each_example_is_what_is_printed(code: FindingCode) -> None:
    """The examples have the fields of `veritag inspect`, and values that can be."""
    told = example(code.value)
    assert list(told) == KEYS
    assert told["code"] == code.value
    assert told["severity"] in set(Severity)
    assert 0 <= told["score"] <= 1
    assert all(list(e) == ["value", "probability"] for e in told["expected"])


@pytest.mark.parametrize("code", list(FindingCode))
def test_each_section_says_what_breaks_downstream(code: FindingCode) -> None:
    """Why it matters stands beside what it means."""
    assert "Downstream:" in SECTIONS[code.value]
