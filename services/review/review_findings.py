"""Findings with their explanations, and their order on a page."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from services.review import explanations
from veritag.findings import ExpectedValue, FindingCode, Severity
from veritag.records.review.study import RecordedFinding, SeriesDetail, StudyDetail
from veritag.records.states import FindingState


class ShownFinding(BaseModel):
    """What a reviewer sees of a finding; stored with each decision on it."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    code: FindingCode
    severity: Severity
    tag: str | None
    observed: str | None
    expected: tuple[ExpectedValue, ...]
    score: float
    bundle_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewFinding(RecordedFinding):
    """A recorded finding with what the pages and the JSON API say of it."""

    @classmethod
    def of(cls, finding: RecordedFinding) -> Self:
        """Return a recorded finding with its explanations."""
        return cls(**{f.name: getattr(finding, f.name) for f in fields(finding)})

    @property
    def title(self) -> str:
        """The heading, with the name of the tag."""
        return explanations.title(self)

    @property
    def explanation(self) -> str:
        """What the finding means and rests on, in sentences."""
        return explanations.explain(self)

    @property
    def correctable(self) -> bool:
        """Whether a reviewer can give the right value."""
        return explanations.correctable(self)

    @property
    def version(self) -> str:
        """A token of what is shown; a decision that returns it is about just that."""
        return version_of(self)

    @property
    def support(self) -> int:
        """Number of descriptions and series of the study that name the expected value."""
        support = self.evidence.get("support", 0)
        return support if isinstance(support, int) else 0

    @property
    def suggestion(self) -> str:
        """The newest correction, else the most probable value, else an empty text."""
        if self.current and self.current.corrected_value:
            return self.current.corrected_value
        return self.expected[0].value if self.expected else ""


def shown(finding: RecordedFinding) -> dict[str, Any]:
    """Return what a reviewer sees of a finding, JSON-ready."""
    return ShownFinding.model_validate(finding).model_dump(mode="json")


def version_of(finding: RecordedFinding) -> str:
    """Return a token that changes with what is shown and with every decision."""
    content = [
        shown(finding),
        [decision.decision_id for decision in finding.decisions],
        finding.withdrawn_at is None,
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def review_order(study: StudyDetail) -> StudyDetail:
    """Return a study in the order of its page, with ReviewFindings.

    Series with findings come first. The order does not depend on decisions, so that
    nothing moves under the reviewer.
    """
    series = [replace(s, findings=_ordered(s.findings)) for s in study.series]
    series.sort(key=lambda s: (not s.findings, _number(s), s.series_id))
    return replace(study, series=tuple(series))


def _ordered(findings: Sequence[RecordedFinding]) -> tuple[ReviewFinding, ...]:
    return tuple(
        sorted(
            map(ReviewFinding.of, findings),
            key=lambda f: (
                f.state is FindingState.WITHDRAWN,
                f.severity.rank,
                -f.score,
                -f.support,
                f.finding_id,
            ),
        )
    )


def _number(series: SeriesDetail) -> int:
    """Return the Series Number to sort by; series without one come last."""
    text = (series.series_number or "").strip()
    return int(text) if text.isdecimal() else 1 << 31


def next_open(findings: list[RecordedFinding], after: int) -> RecordedFinding | None:
    """Return the next open finding below one, else the first open one of the page."""
    ids = [f.finding_id for f in findings]
    start = ids.index(after) + 1 if after in ids else 0
    rotated = findings[start:] + findings[:start]
    return next((f for f in rotated if f.state is FindingState.OPEN), None)
