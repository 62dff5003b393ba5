import json
import re
from pathlib import Path
from typing import Any

import pytest

from veritag.findings import FindingCode, Severity
from veritag.judging.manifest_tables import COARSE

PAGE = (Path(__file__).parents[4] / "docs/findings.md").read_text(encoding="utf-8")
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


def test_the_page_links_to_every_section_once() -> None:
    """Its table of codes has those that can be found and no other."""
    links = re.findall(r"^\| \[`([A-Z_]+)`\]\(#([a-z_]+)\)", PAGE, re.MULTILINE)
    assert sorted(code for code, _ in links) == sorted(c.value for c in FindingCode)
    assert all(anchor == code.lower() for code, anchor in links)


def test_the_page_names_every_value_that_is_too_coarse() -> None:
    """The list of the page is the one that is judged by."""
    told = SECTIONS["TAG_TOO_COARSE"].split("INFO.")[0]
    named = set(re.findall(r"\b[A-Z]{2,}\b", told))
    assert named == {value for values in COARSE.values() for value in values}
