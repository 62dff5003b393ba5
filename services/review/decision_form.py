"""From what a form or a program sends to a stored ReviewDecision."""

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
    """A decision that does not fit the finding it is about."""


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

    `version` is that of the finding that was seen; without it, the decision is about
    whatever the finding is now. `reviewer` is not read where a proxy names one.
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
    """Return what is wrong, field by field, without repeating what was sent."""
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
    """Store a decision together with what was shown.

    Raises
    ------
    InvalidDecision
        If it names no reviewer, or a value that cannot be the right one.
    DecisionConflict
        If the finding was withdrawn, judged anew or decided since it was seen.
    """
    _require_unchanged(finding, request)
    if reviewer is None:
        raise InvalidDecision("reviewer: say who decides")
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
        raise DecisionConflict("the series was judged anew without this finding")
    if request.version is not None and request.version != version_of(finding):
        raise DecisionConflict(
            "the finding was decided or judged anew since you opened it; "
            "look at it again and decide"
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
    # In a mixed series the observed value is that of most instances, perhaps right.
    if value == finding.observed and finding.code != FindingCode.MIXED_SERIES:
        raise InvalidDecision(
            "corrected_value: this is the received value; dismiss the finding if it is right"
        )
    return value


def _is_code_string(keyword: str) -> bool:
    tag = tag_for_keyword(keyword)
    return tag is not None and dictionary_VR(tag) == "CS"
