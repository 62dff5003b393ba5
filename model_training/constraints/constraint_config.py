"""How constraints are sampled: our setting and the paper's."""

from dataclasses import dataclass

from model_training.constraints.gower import Ranges
from veritag.dicom.tags import JUDGED_TAGS
from veritag.errors import ConfigurationError

KIND = ("Modality", "BodyPartExamined")
"""The tags that say what kind of picture it is, and that reviewers settle most."""


@dataclass(frozen=True)
class ConstraintConfig:
    """How constraints are sampled.

    Attributes
    ----------
    epsilon
        Distance under which two instances must link.
    phi
        Distance over which they cannot link.
    least_comparable
        Tags that both must carry for their distance to be known.
    required
        Tags that both must carry, with like values, for a must-link. Radiographs
        without BodyPartExamined agree in all else whatever region they show.
    deciding
        Tags of which one must be disjoint for a cannot-link: another manufacturer
        and another table position make no other picture. Empty: distance decides.
    ranges
        "robust" or "minmax", see `value_ranges`.
    concepts
        Whether Modality and BodyPartExamined are compared by meaning, so that CR and DX
        are alike and HEAD says nothing against BRAIN; else by equality.
    weights
        Tags that count other than 1, with their weight. With 3, a disjoint body part
        or modality alone makes a cannot-link: of all that a CT has in common with
        another, 3 of 11 differ then, sqrt(3/11) > phi. With equal weights, the head and
        the foot of one scanner, 1 of 7, would be no cannot-link.
    balanced
        Whether modalities, body parts within them, and tag tuples within these have
        equal chances; else every instance has.
    within_modality
        Share of the cannot-links that is first looked for between body parts of one
        modality: few others are, and that a CT is no radiograph is soon learnt.
    keep_contradictions
        Whether cannot-links inside a must-link component stay in.
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
        """Refuse what cannot be meant."""
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
        named = {*self.required, *self.deciding, *(tag for tag, _ in self.weights)}
        if unknown := named.difference(JUDGED_TAGS):
            raise ConfigurationError(
                f"Constraints know nothing of {', '.join(sorted(unknown))}; name any "
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
