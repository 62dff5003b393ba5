"""Findings, series and studies as pages and API show them."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.review import explanations
from veritag.decisions import ReviewDecision
from veritag.findings import ExpectedValue, FindingCode, Severity
from veritag.records.review.study import FindingRow, SeriesDetail, StudyDetail


class FindingState(StrEnum):
    """Where a finding stands."""

    OPEN = "open"
    DECIDED = "decided"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class FindingView:
    """A finding as it is shown.

    Attributes
    ----------
    explanation
        What the finding means and rests on, in sentences.
    version
        Changes with everything that a reviewer sees; sent back with a decision, it
        makes sure that the decision is about what was seen.
    decisions
        All that was decided, oldest first; the last one counts.
    """

    finding_id: int
    series_id: int
    series_instance_uid: str
    bundle_id: str
    code: FindingCode
    severity: Severity
    tag: str | None
    observed: str | None
    expected: tuple[ExpectedValue, ...]
    score: float
    evidence: dict[str, Any]
    title: str
    explanation: str
    correctable: bool
    state: FindingState
    version: str
    created_at: datetime
    withdrawn_at: datetime | None
    decisions: tuple[ReviewDecision, ...]

    @property
    def current(self) -> ReviewDecision | None:
        """The decision that counts."""
        return self.decisions[-1] if self.decisions else None

    @property
    def support(self) -> int:
        """How many descriptions and series of the study say what is expected."""
        support = self.evidence.get("support", 0)
        return support if isinstance(support, int) else 0

    @property
    def suggestion(self) -> str:
        """The value that a correction most probably is."""
        if self.current and self.current.corrected_value:
            return self.current.corrected_value
        return self.expected[0].value if self.expected else ""


@dataclass(frozen=True, slots=True)
class SeriesView:
    """A series with its findings in the order of the page."""

    row: SeriesDetail
    findings: tuple[FindingView, ...]


def shown(row: FindingRow) -> dict[str, Any]:
    """Return what a reviewer sees of a finding, to be kept with the decision."""
    finding = row.finding
    return {
        "code": finding.code.value,
        "severity": finding.severity.value,
        "tag": finding.tag,
        "observed": finding.observed,
        "expected": [
            {"value": e.value, "probability": e.probability} for e in finding.expected
        ],
        "score": finding.score,
        "bundle_id": row.bundle_id,
    }


def version_of(row: FindingRow) -> str:
    """Return a token that changes with what is shown and with every decision."""
    seen = [
        shown(row),
        [d.decision_id for d in row.decisions],
        row.withdrawn_at is None,
    ]
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:16]


def state_of(row: FindingRow) -> FindingState:
    """Return where a finding stands."""
    if row.withdrawn_at is not None:
        return FindingState.WITHDRAWN
    return FindingState.DECIDED if row.decisions else FindingState.OPEN


def finding_view(row: FindingRow) -> FindingView:
    """Return a finding as it is shown."""
    finding = row.finding
    return FindingView(
        finding_id=row.finding_id,
        series_id=row.series_id,
        series_instance_uid=row.series_instance_uid,
        bundle_id=row.bundle_id,
        code=finding.code,
        severity=finding.severity,
        tag=finding.tag,
        observed=finding.observed,
        expected=finding.expected,
        score=finding.score,
        evidence=finding.evidence,
        title=explanations.title(finding),
        explanation=explanations.explain(finding),
        correctable=explanations.correctable(finding),
        state=state_of(row),
        version=version_of(row),
        created_at=row.created_at,
        withdrawn_at=row.withdrawn_at,
        decisions=row.decisions,
    )


def series_views(study: StudyDetail) -> list[SeriesView]:
    """Return the series of a study, those with findings first.

    The order does not depend on decisions, so that nothing moves under the reviewer.
    """
    views = [SeriesView(s, _ordered(s.findings)) for s in study.series]
    return sorted(
        views, key=lambda v: (not v.findings, _number(v.row), v.row.series_id)
    )


def _ordered(rows: tuple[FindingRow, ...]) -> tuple[FindingView, ...]:
    views = [finding_view(row) for row in rows]
    views.sort(
        key=lambda v: (
            v.state is FindingState.WITHDRAWN,
            v.severity.rank,
            -v.score,
            -v.support,
            v.finding_id,
        )
    )
    return tuple(views)


def _number(series: SeriesDetail) -> int:
    text = (series.series_number or "").strip()
    return int(text) if text.isdecimal() else 1 << 31


def next_open(findings: list[FindingView], after: int) -> FindingView | None:
    """Return the next open finding of the page behind this one, from the top again."""
    ids = [f.finding_id for f in findings]
    at = ids.index(after) + 1 if after in ids else 0
    rotated = findings[at:] + findings[:at]
    return next((f for f in rotated if f.state is FindingState.OPEN), None)
