"""Findings as they are shown."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.review.views import (
    FindingState,
    finding_view,
    next_open,
    shown,
    state_of,
    version_of,
)
from veritag.decisions import Decision, ReviewDecision
from veritag.findings import ExpectedValue, Finding, FindingCode, Severity
from veritag.records.review.study import FindingRow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FINDING = Finding(
    FindingCode.TAG_CONTRADICTS_IMAGE,
    Severity.ERROR,
    "BodyPartExamined",
    "HAND",
    0.9,
    (ExpectedValue("CHEST", 0.9),),
)


def row(number: int = 1, **changes: Any) -> FindingRow:
    """Return an open finding."""
    made = FindingRow(number, "1.2", "1.2.3", 5, "vb-1", FINDING, NOW, None, ())
    return replace(made, **changes)


def decided(decision: Decision, value: str | None = None) -> ReviewDecision:
    """Return a decision on the finding."""
    return ReviewDecision(1, 1, decision, value, "", "Ada", NOW, {})


def test_a_finding_stands_open_until_decided_or_withdrawn() -> None:
    """A withdrawn finding is withdrawn even if it was decided before."""
    decisions = (decided(Decision.DISMISSED),)
    assert state_of(row()) is FindingState.OPEN
    assert state_of(row(decisions=decisions)) is FindingState.DECIDED
    both = row(decisions=decisions, withdrawn_at=NOW)
    assert state_of(both) is FindingState.WITHDRAWN


@pytest.mark.parametrize(
    "change",
    [
        {"bundle_id": "vb-2"},
        {"finding": replace(FINDING, score=0.8)},
        {"finding": replace(FINDING, expected=())},
        {"decisions": (decided(Decision.CONFIRMED),)},
        {"withdrawn_at": NOW},
    ],
)
def test_the_version_changes_with_what_is_seen(change: dict[str, Any]) -> None:
    """A decision about an older version can be told from one about this."""
    assert version_of(row()) == version_of(row())
    assert version_of(row(**change)) != version_of(row())


def test_what_is_shown_is_kept_whole() -> None:
    """The record of what was seen needs no look at the finding of today."""
    assert shown(row()) == {
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
    assert finding_view(row()).suggestion == "CHEST"
    corrected = (decided(Decision.CORRECTED, "THORAX"),)
    assert finding_view(row(decisions=corrected)).suggestion == "THORAX"
    nothing = replace(FINDING, expected=())
    assert finding_view(row(finding=nothing)).suggestion == ""


def test_the_next_open_finding_follows_or_starts_over() -> None:
    """Behind the last finding the page begins again from its top."""
    done = (decided(Decision.CONFIRMED),)
    views = [finding_view(r) for r in (row(1), row(2, decisions=done), row(3), row(4))]
    following = [next_open(views, after) for after in (1, 3, 4, 99)]
    assert [f.finding_id for f in following if f] == [3, 4, 1, 1]
    assert next_open([finding_view(row(2, decisions=done))], 2) is None
