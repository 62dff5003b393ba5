"""The page of findings names every code, with examples that are true."""

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
    finding: dict[str, Any] = json.loads(block)
    return finding


def test_the_page_explains_every_code_and_no_other() -> None:
    """Each code that can be found has its section."""
    assert set(SECTIONS) == {code.value for code in FindingCode}


@pytest.mark.parametrize("code", list(FindingCode))
def test_each_example_is_what_is_printed(code: FindingCode) -> None:
    """The examples have the fields of `veritag inspect`, and values that can be."""
    finding = example(code.value)
    assert list(finding) == KEYS
    assert finding["code"] == code.value
    assert finding["severity"] in set(Severity)
    assert 0 <= finding["score"] <= 1
    assert all(list(e) == ["value", "probability"] for e in finding["expected"])


@pytest.mark.parametrize("code", list(FindingCode))
def test_each_section_says_what_breaks_downstream(code: FindingCode) -> None:
    """Each section has a paragraph about the consequences downstream."""
    assert "Downstream:" in SECTIONS[code.value]


def test_the_page_links_to_every_section_once() -> None:
    """Its table of codes has those that can be found and no other."""
    links = re.findall(r"^\| \[`([A-Z_]+)`\]\(#([a-z_]+)\)", PAGE, re.MULTILINE)
    assert sorted(code for code, _ in links) == sorted(c.value for c in FindingCode)
    assert all(anchor == code.lower() for code, anchor in links)


def test_the_page_names_every_value_that_is_too_coarse() -> None:
    """The values named on the page are those of COARSE."""
    text = SECTIONS["TAG_TOO_COARSE"].split("INFO.")[0]
    named = set(re.findall(r"\b[A-Z]{2,}\b", text))
    assert named == {value for values in COARSE.values() for value in values}
