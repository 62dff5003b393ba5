"""What a person decides of a finding; append-only, the newest decision counts."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Decision(StrEnum):
    """The three answers to a finding."""

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
        What the reviewer saw when deciding: code, tag, observed, expected, score,
        bundle id. Findings can be made anew later; this stays.
    """

    decision_id: int
    finding_id: int
    decision: Decision
    corrected_value: str | None
    note: str
    reviewer: str
    decided_at: datetime
    shown: dict[str, Any]
