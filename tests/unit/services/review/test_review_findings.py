"""Findings as reviewers see them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.review.review_findings import (
    ReviewFinding,
    next_open,
    shown,
    version_of,
)
from veritag.decisions import Decision, ReviewDecision
from veritag.findings import ExpectedValue, FindingCode, Severity
from veritag.records.review.study import RecordedFinding
from veritag.records.states import FindingState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FINDING = RecordedFinding(
    code=FindingCode.TAG_CONTRADICTS_IMAGE,
    severity=Severity.ERROR,
    tag="BodyPartExamined",
    observed="HAND",
    score=0.9,
    expected=(ExpectedValue("CHEST", 0.9),),
    finding_id=1,
    study_instance_uid="1.2",
    series_instance_uid="1.2.3",
    series_id=5,
    bundle_id="vb-1",
    created_at=NOW,
    withdrawn_at=None,
    decisions=(),
)


def decided(decision: Decision, value: str | None = None) -> ReviewDecision:
    """Return a decision on the finding."""
    return ReviewDecision(1, 1, decision, value, "", "Ada", NOW, {})


def test_a_finding_stands_open_until_decided_or_withdrawn() -> None:
    """A withdrawn finding is withdrawn even if it was decided before."""
    decisions = (decided(Decision.DISMISSED),)
    assert FINDING.state is FindingState.OPEN
    assert replace(FINDING, decisions=decisions).state is FindingState.DECIDED
    withdrawn = replace(FINDING, decisions=decisions, withdrawn_at=NOW)
    assert withdrawn.state is FindingState.WITHDRAWN


@pytest.mark.parametrize(
    "change",
    [
        {"bundle_id": "vb-2"},
        {"score": 0.8},
        {"expected": ()},
        {"decisions": (decided(Decision.CONFIRMED),)},
        {"withdrawn_at": NOW},
    ],
)
def test_the_version_changes_with_what_is_seen(change: dict[str, Any]) -> None:
    """A decision about an older version can be told from one about this."""
    assert version_of(FINDING) == version_of(FINDING)
    assert version_of(replace(FINDING, **change)) != version_of(FINDING)


def test_what_is_shown_is_kept_whole() -> None:
    """The record of what was seen needs no look at the finding of today."""
    assert shown(FINDING) == {
        "code": "TAG_CONTRADICTS_IMAGE",
        "severity": "ERROR",
        "tag": "BodyPartExamined",
        "observed": "HAND",
        "expected": [{"value": "CHEST", "probability": 0.9}],
        "score": 0.9,
        "bundle_id": "vb-1",
    }


def test_the_suggestion_is_the_last_correction_else_the_likeliest_value() -> None:
    """The value field is filled in with what is most probably right."""
    assert ReviewFinding.of(FINDING).suggestion == "CHEST"
    corrected = replace(FINDING, decisions=(decided(Decision.CORRECTED, "THORAX"),))
    assert ReviewFinding.of(corrected).suggestion == "THORAX"
    unexplained = replace(FINDING, expected=())
    assert ReviewFinding.of(unexplained).suggestion == ""


def test_the_next_open_finding_follows_or_starts_over() -> None:
    """Behind the last finding the page begins again from its top."""
    first, third, fourth = (replace(FINDING, finding_id=n) for n in (1, 3, 4))
    second = replace(FINDING, finding_id=2, decisions=(decided(Decision.CONFIRMED),))
    findings = [first, second, third, fourth]
    following = [next_open(findings, after) for after in (1, 3, 4, 99)]
    assert [f.finding_id for f in following if f] == [3, 4, 1, 1]
    assert next_open([second], 2) is None
