"""The gate: whether a new bundle, the challenger, replaces the champion, and why.

Both judge the same tags of the same images, of patients that neither has learnt from.
A figure is worse or better only if its difference keeps its sign when patients are
resampled (paired bootstrap, Efron and Tibshirani 1993, chapter 13). A challenger is
promoted if no figure is worse and at least one is better.

Reference tags that are wrong in the same way as the learnt ones raise the figures. Only
the flag rate, the reviewers' decisions and the champion's findings can show that.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from model_training.evaluation.compare_bundles import (
    Comparison,
    FigureChange,
    Noise,
    compare,
    sentence,
)
from model_training.evaluation.evaluation import Evaluation
from model_training.evaluation.measures import entropy, share
from veritag.records.states import GateOutcome
from veritag.settings import Settings

LEAST_EFFECTIVE = 2.0
"""Least effective number of clusters: exp of the entropy of the images per cluster."""


@dataclass(frozen=True, slots=True)
class GateConfig:
    """Limits of the gate.

    Attributes
    ----------
    least_images, least_patients
        Size of the reference set under which the gate does not decide.
    most_flag_change
        Largest share of the reference images that only the challenger flags, and
        likewise that only the champion flags.
    """

    least_images: int = 100
    least_patients: int = 20
    most_flag_change: float = 0.1
    noise: Noise = field(default_factory=Noise)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits of the settings."""
        return cls(
            least_images=settings.gate_least_images,
            least_patients=settings.gate_least_patients,
            most_flag_change=settings.gate_flag_change,
        )


@dataclass(frozen=True)
class GateDecision:
    """Outcome of the gate with its reasons.

    Attributes
    ----------
    flags
        See `flag_changes`; None where no comparison was possible.
    reference
        Numbers of images and patients of the reference set.
    """

    outcome: GateOutcome
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()
    flags: Mapping[str, float] | None = None
    reference: Mapping[str, Any] | None = None

    @property
    def promoted(self) -> bool:
        """Whether the challenger replaces the champion."""
        return self.outcome == GateOutcome.PROMOTED

    def as_json(self) -> dict[str, Any]:
        """Return the decision as stored in the records."""
        return {
            "outcome": self.outcome,
            "reasons": list(self.reasons),
            "figures": [asdict(c) for c in self.comparisons],
            "flags": dict(self.flags or {}),
            "reference": dict(self.reference or {}),
        }


def undecided(reason: str) -> GateDecision:
    """Return an undecided gate: the champion stays, because no comparison is possible."""
    return GateDecision(
        GateOutcome.UNDECIDED, (f"not decided, the champion stays: {reason}",)
    )


def decide_promotion(
    challenger: Evaluation, champion: Evaluation, config: GateConfig
) -> GateDecision:
    """Decide by two bundles' evaluations on the same images.

    Raises
    ------
    ValueError
        If they are not of the same images.
    """
    if not np.array_equal(challenger.questions.patient, champion.questions.patient):
        raise ValueError("the two bundles were evaluated on different images")
    small = _too_small(challenger, config)
    if small:
        return undecided(small)
    comparisons = compare(challenger, champion, config.noise)
    flags = flag_changes(challenger, champion)
    against = [
        *_collapse(challenger),
        *_changed_flags(flags, config),
        *(sentence(c) for c in comparisons if c.verdict == FigureChange.WORSE),
    ]
    in_favor = [sentence(c) for c in comparisons if c.verdict == FigureChange.BETTER]
    if challenger.bundle_id == champion.bundle_id:
        against.append("it is the bundle that is in use")
    elif not against and not in_favor:
        against.append("no figure is better beyond its noise")
    outcome = GateOutcome.KEPT if against else GateOutcome.PROMOTED
    reference = {"images": challenger.images, "patients": challenger.patients}
    reasons = tuple(against or in_favor)
    return GateDecision(outcome, reasons, tuple(comparisons), flags, reference)


def _too_small(evaluation: Evaluation, config: GateConfig) -> str | None:
    sizes = (
        ("images", evaluation.images, config.least_images),
        ("patients", evaluation.patients, config.least_patients),
    )
    for unit, count, least in sizes:
        if count < least:
            return (
                f"the reference set holds {count} {unit}, and {least} are needed to "
                "distinguish a difference from noise"
            )
    return None


def _collapse(challenger: Evaluation) -> list[str]:
    """Return why the clusters are unusable: most are empty, or all images are unknown."""
    region = challenger.questions.region
    occupancy = np.array([n for _, _, n in challenger.clusters], dtype=np.float64)
    regions = region[region >= 0]
    # Images of two regions need two clusters, images of one region only one.
    kinds = float(np.exp(entropy(np.bincount(regions).astype(np.float64))))
    effective = float(np.exp(entropy(occupancy)))
    if effective < min(LEAST_EFFECTIVE, kinds):
        return [
            f"its clusters collapsed: images lie in {effective:.1f} of {len(occupancy)}"
        ]
    if not challenger.predictions.known.any():
        return ["all reference images are of an unknown kind to it"]
    return []


def flag_changes(challenger: Evaluation, champion: Evaluation) -> dict[str, float]:
    """Return the shares of images that each flags, and that only one of them flags."""
    old, new = _flagged(champion), _flagged(challenger)
    everything = np.ones(len(old))
    masks = {
        "champion": old,
        "challenger": new,
        "flagged_anew": new & ~old,
        "no_longer_flagged": old & ~new,
    }
    return {k: round(share(m, everything) or 0.0, 4) for k, m in masks.items()}


def _flagged(evaluation: Evaluation) -> NDArray[np.bool_]:
    """Return which images have a flag on any received value, of shape (N,)."""
    predictions = evaluation.predictions.tags.values()
    flagged: NDArray[np.bool_] = np.any(
        [tag.received.flagged for tag in predictions], axis=0
    )
    return flagged


def _changed_flags(flags: Mapping[str, float], config: GateConfig) -> list[str]:
    changes = {
        "flagged_anew": "are flagged by it and were not before",
        "no_longer_flagged": "were flagged before and are not by it",
    }
    return [
        f"{flags[name]:.1%} of the reference's images {words}; "
        f"only changes of up to {config.most_flag_change:.0%} are promoted automatically"
        for name, words in changes.items()
        if flags[name] > config.most_flag_change
    ]
