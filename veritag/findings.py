"""Results of inspection: a Verdict per instance, Findings and Judgements per series."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias


class Severity(StrEnum):
    """How much a finding matters to the systems that read the tag."""

    ERROR = "ERROR"
    WARNING = "WARNING"
    INFO = "INFO"

    @property
    def rank(self) -> int:
        """0 for the gravest."""
        return list(Severity).index(self)


class FindingCode(StrEnum):
    """The closed list of findings."""

    TAG_CONTRADICTS_IMAGE = "TAG_CONTRADICTS_IMAGE"
    TAG_MISSING = "TAG_MISSING"
    TAG_TOO_COARSE = "TAG_TOO_COARSE"
    VALUE_NOT_DEFINED = "VALUE_NOT_DEFINED"
    MIXED_SERIES = "MIXED_SERIES"
    UNKNOWN_KIND = "UNKNOWN_KIND"
    UNREADABLE = "UNREADABLE"
    NO_PIXELS = "NO_PIXELS"
    DUPLICATE_UID_CONFLICT = "DUPLICATE_UID_CONFLICT"
    MODALITY_CONTRADICTS_SOP_CLASS = "MODALITY_CONTRADICTS_SOP_CLASS"
    SERIES_IN_SEVERAL_STUDIES = "SERIES_IN_SEVERAL_STUDIES"
    ATTRIBUTE_MISSING = "ATTRIBUTE_MISSING"
    UID_INVALID = "UID_INVALID"
    ORIENTATION_INVALID = "ORIENTATION_INVALID"
    ORIENTATIONS_DISAGREE = "ORIENTATIONS_DISAGREE"
    POSITION_CONTRADICTS_ORIENTATION = "POSITION_CONTRADICTS_ORIENTATION"
    LATERALITY_MISSING = "LATERALITY_MISSING"
    LATERALITIES_DISAGREE = "LATERALITIES_DISAGREE"
    LATERALITY_CONTRADICTS_BODY_PART = "LATERALITY_CONTRADICTS_BODY_PART"
    IMAGE_TYPE_INVALID = "IMAGE_TYPE_INVALID"
    DATE_INVALID = "DATE_INVALID"
    DATES_DISAGREE = "DATES_DISAGREE"
    DATE_IN_FUTURE = "DATE_IN_FUTURE"


class VerdictStatus(StrEnum):
    """How the inspection of one instance ended."""

    INSPECTED = "inspected"
    UNREADABLE = "unreadable"
    NO_PIXELS = "no_pixels"


TagValue: TypeAlias = str | float | tuple[float, ...]
"""A received tag value: text, a number, or the six of ImageOrientationPatient."""


@dataclass(frozen=True, slots=True)
class ExpectedValue:
    """A value that would be right, with its probability in 0..1."""

    value: str
    probability: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement in one series.

    Attributes
    ----------
    tag
        Keyword of the Data Element, None where the finding is about no single tag.
    observed
        The received value as text; None where the element is absent.
    score
        Confidence in the finding, in 0..1; 1.0 for deterministic rules.
    evidence
        Counts, clusters, probabilities and rules that the finding rests on.
    """

    code: FindingCode
    severity: Severity
    tag: str | None
    observed: str | None
    score: float
    expected: tuple[ExpectedValue, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Defect:
    """A fault that a rule found in one instance; a finding sums up those of a series.

    Attributes
    ----------
    tag
        Keyword of the Data Element, None where the defect is about no single one.
    observed
        The received value as text, without patient data; None where it is absent.
    expected
        Values that would be right, where the rule knows them.
    rule
        The broken rule in one sentence, the same for every instance.
    """

    code: FindingCode
    tag: str | None
    observed: str | None
    expected: tuple[str, ...]
    rule: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """Opinion of the model on one present tag, flagged or not.

    Attributes
    ----------
    probability_wrong
        None where the model does not judge this tag.
    shows
        The most probable concept given the pictures; None where the model has none.
    score
        The contradiction before calibration, in 0..1.
    flagged
        Whether the score reaches the threshold of the bundle.
    """

    tag: str
    observed: str
    probability_wrong: float | None
    shows: str | None = None
    score: float | None = None
    flagged: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of the inspection of one instance by one bundle.

    Attributes
    ----------
    tags
        The eight judged tags as received, keyword to value, without absent ones.
    cluster
        Stable id of the cluster with the nearest center; None without pixels.
    cluster_probability
        Sharpened soft assignment of that cluster, in 0..1; None without pixels.
    soft_assignment
        q over the bundle's clusters, of shape (n_clusters,); empty without pixels.
    tag_probability
        Probability of each concept of each tag given the picture, in the order of the
        bundle's `concepts`, tag after tag; empty without pixels.
    neighbors
        Numbers of the nearest neighbor images of the bundle, the nearest first.
    novelty
        How unlike the picture is to all that the bundle was trained on; above 1 its
        kind is unknown to the bundle. None without pixels.
    reason
        Why an instance is unreadable or has no pixels; None when inspected.
    hints
        Keyword of a judged tag to (keyword of a description or code to the concept
        that it names).
    defects
        Faults that rules found in this instance alone.
    facts
        Keyword to value of further elements, which rules compare within the series.
    """

    bundle_id: str
    status: VerdictStatus
    sop_class_uid: str
    tags: dict[str, TagValue] = field(default_factory=dict)
    cluster: int | None = None
    cluster_probability: float | None = None
    novelty: float | None = None
    soft_assignment: tuple[float, ...] = ()
    tag_probability: tuple[float, ...] = ()
    neighbors: tuple[int, ...] = ()
    reason: str | None = None
    hints: dict[str, dict[str, str]] = field(default_factory=dict)
    defects: tuple[Defect, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SeriesJudgement:
    """Judgement of a whole series.

    Attributes
    ----------
    unknown_kind
        Whether the bundle does not know the kind of its pictures.
    """

    instances: int
    unknown_kind: bool
    findings: tuple[Finding, ...]
    judgements: tuple[Judgement, ...]
