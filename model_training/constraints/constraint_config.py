"""Configuration of the sampling of constraints: the default, and the paper's."""

from dataclasses import dataclass

from model_training.constraints.gower import Ranges
from veritag.dicom.tags import JUDGED_TAGS
from veritag.errors import ConfigurationError

KIND = ("Modality", "BodyPartExamined")
"""The tags that name the kind of an image, and that reviewers correct most."""


@dataclass(frozen=True)
class ConstraintConfig:
    """Rules and proportions of sampled constraints.

    Attributes
    ----------
    epsilon
        Gower's distance sqrt(1 - S) under which two instances must link; 0.1 means
        1 - S < 0.01, which are nearly equal tags.
    phi
        Distance over which they cannot link.
    least_comparable
        Tags that both instances must have for their distance to be known.
    required
        Tags that both must have, with like values, for a must-link. Radiographs
        without BodyPartExamined agree in all other tags, whatever region they show.
    deciding
        Tags of which one must be disjoint for a cannot-link: manufacturer and table
        position alone do not change what an image shows. Empty: distance decides.
    ranges
        "robust" or "minmax", see `value_ranges`.
    concepts
        Whether Modality and BodyPartExamined are compared by meaning, so that CR and DX
        are alike and HEAD and BRAIN are not comparable; else by equality.
    weights
        Tags with a weight other than 1. With 3, a disjoint body part or modality alone
        makes a cannot-link: of the weight 11 that the tags of two CTs have in common,
        3 differ, and sqrt(3/11) > phi. With equal weights, head and foot of one scanner
        would be none: 1 of 7.
    balanced
        Whether modalities, body parts within them, and tag tuples within these are
        drawn with equal chances; else instances are.
    within_modality
        Share of the cannot-links drawn first between body parts of one modality: few
        others would be, and the differences between modalities are soon learnt.
    keep_contradictions
        Whether cannot-links inside a must-link component are kept.
    """

    epsilon: float = 0.1
    phi: float = 0.5
    least_comparable: int = 2
    required: tuple[str, ...] = KIND
    deciding: tuple[str, ...] = KIND
    ranges: Ranges = "robust"
    concepts: bool = True
    weights: tuple[tuple[str, float], ...] = ((KIND[0], 3.0), (KIND[1], 3.0))
    balanced: bool = True
    within_modality: float = 0.5
    keep_contradictions: bool = False

    def __post_init__(self) -> None:
        """Check thresholds, shares and tag names.

        Raises
        ------
        ConfigurationError
            If one of them is impossible.
        """
        if not 0 < self.epsilon <= self.phi < 1:
            raise ConfigurationError(
                f"Constraints need 0 < epsilon <= phi < 1, got epsilon {self.epsilon} "
                f"and phi {self.phi}: change either."
            )
        if not 0 <= self.within_modality <= 1:
            raise ConfigurationError(
                "The share of cannot-links within a modality must be from 0 to 1, got "
                f"{self.within_modality}."
            )
        tags = {*self.required, *self.deciding, *(tag for tag, _ in self.weights)}
        if unknown := tags.difference(JUDGED_TAGS):
            raise ConfigurationError(
                f"Constraints cannot use {', '.join(sorted(unknown))}; name any "
                f"of {', '.join(JUDGED_TAGS)}."
            )


PAPER_CONSTRAINTS = ConstraintConfig(
    least_comparable=1,
    required=(),
    deciding=(),
    ranges="minmax",
    concepts=False,
    weights=(),
    balanced=False,
    within_modality=0.0,
    keep_contradictions=True,
)
"""The paper's setting: any two instances, any comparable tag, thresholds alone."""
