"""Validation of decisions that a form or a program sends, and their storage."""

import re
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydicom.datadict import dictionary_VR, tag_for_keyword

from services.review.explanations import correctable
from services.review.review_findings import shown, version_of
from veritag.decisions import Decision, ReviewDecision
from veritag.errors import RejectError
from veritag.findings import FindingCode
from veritag.process.metrics import DECISIONS
from veritag.records import Records
from veritag.records.review.decisions import decide
from veritag.records.review.study import RecordedFinding

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# PS3.5 Table 6.2-1: CS holds upper-case letters, digits, space and underscore.
_CODE_STRING = re.compile(r"[A-Z0-9 _]{1,16}")


class InvalidDecision(RejectError):
    """A decision that does not fit its finding."""


class DecisionConflict(RejectError):
    """The finding is no longer what the reviewer saw."""


def _one_line(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("must hold no control characters")
    return value


Reviewer = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=128),
    AfterValidator(_one_line),
]
Value = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=256),
    AfterValidator(_one_line),
]


class DecisionRequest(BaseModel):
    """A decision as a form or a program sends it.

    `version` is that of the finding as it was seen; without it, the decision applies to
    the finding as it is now. `reviewer` is ignored where a proxy names one.
    """

    model_config = ConfigDict(extra="forbid")

    decision: Decision
    corrected_value: Value | None = None
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=4000)] = ""
    reviewer: Reviewer | None = None
    version: str | None = Field(None, max_length=64)

    @field_validator("note")
    @classmethod
    def _printable(cls, value: str, _info: ValidationInfo) -> str:
        return _CONTROL.sub(" ", value)

    @model_validator(mode="after")
    def _value_belongs_to_corrected(self) -> "DecisionRequest":
        if (self.decision is Decision.CORRECTED) != (self.corrected_value is not None):
            raise ValueError("CORRECTED needs the right value, the others take none")
        return self


def problems(error: ValidationError) -> list[dict[str, str]]:
    """Return the errors field by field, without the values that were sent."""
    return [
        {
            "field": ".".join(str(p) for p in e["loc"]) or "decision",
            "message": e["msg"].removeprefix("Value error, "),
        }
        for e in error.errors(include_input=False, include_url=False)
    ]


def store_decision(
    records: Records,
    finding: RecordedFinding,
    request: DecisionRequest,
    reviewer: str | None,
) -> ReviewDecision:
    """Store a decision together with what the reviewer saw.

    Raises
    ------
    InvalidDecision
        If no reviewer is named, or the corrected value cannot be right.
    DecisionConflict
        If the finding was withdrawn, judged again or decided since it was seen.
    """
    _require_unchanged(finding, request)
    if reviewer is None:
        raise InvalidDecision("reviewer: enter your name")
    stored = decide(
        records,
        finding.finding_id,
        request.decision,
        reviewer,
        corrected_value=_corrected_value(finding, request),
        note=request.note,
        shown=shown(finding),
    )
    DECISIONS.labels(request.decision.value).inc()
    return stored


def _require_unchanged(finding: RecordedFinding, request: DecisionRequest) -> None:
    if finding.withdrawn_at is not None:
        raise DecisionConflict("the series was judged again without this finding")
    if request.version is not None and request.version != version_of(finding):
        raise DecisionConflict(
            "the finding was decided or judged again since you opened it; "
            "check it and decide again"
        )


def _corrected_value(finding: RecordedFinding, request: DecisionRequest) -> str | None:
    value, tag = request.corrected_value, finding.tag
    if value is None:
        return None
    if tag is None or not correctable(finding):
        raise InvalidDecision("this finding has no right value: confirm or dismiss it")
    if _is_code_string(tag):
        value = value.upper()
        if not _CODE_STRING.fullmatch(value):
            raise InvalidDecision(
                f"corrected_value: {tag} is a code string: up to 16 letters, digits, "
                "spaces and underscores"
            )
    # In a mixed series the observed value is that of most instances and may be right.
    if value == finding.observed and finding.code != FindingCode.MIXED_SERIES:
        raise InvalidDecision(
            "corrected_value: this is the received value; dismiss the finding if it is right"
        )
    return value


def _is_code_string(keyword: str) -> bool:
    tag = tag_for_keyword(keyword)
    return tag is not None and dictionary_VR(tag) == "CS"
