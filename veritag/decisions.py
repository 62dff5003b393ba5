"""Decisions of reviewers on findings: append-only, the newest one counts."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Decision(StrEnum):
    """The three possible decisions."""

    CONFIRMED = "CONFIRMED"
    """The tag is wrong as flagged; the right value is left open."""
    CORRECTED = "CORRECTED"
    """The tag is wrong, and the reviewer names the right value."""
    DISMISSED = "DISMISSED"
    """The tag is right; the finding is a false alarm."""


@dataclass(frozen=True, slots=True)
class ReviewDecision:
    """One decision of one reviewer on one finding.

    Attributes
    ----------
    corrected_value
        The right value; only with CORRECTED, None otherwise.
    decided_at
        Time-zone aware moment at which it was recorded.
    shown
        What the reviewer saw: code, severity, tag, observed, expected, score, bundle
        id. It stays when the finding changes later.
    """

    decision_id: int
    finding_id: int
    decision: Decision
    corrected_value: str | None
    note: str
    reviewer: str
    decided_at: datetime
    shown: dict[str, Any]
