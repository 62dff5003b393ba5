"""The gate: whether a challenger takes the champion's place, and why.

Both are asked the same about the same images of patients that neither has learnt from.
A figure is worse or better only if the difference stays on one side of zero when
patients are drawn anew (paired bootstrap, Efron and Tibshirani 1993, chapter 13). By
default a challenger is promoted if no figure is worse and at least one is better.

What nobody can see on a reference set: tags of the reference that are wrong in the
same way as those that were learnt. The flag rate, what reviewers decided, and the
champion's own findings are what is left to notice it by.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.evaluation.compare_bundles import (
    BETTER,
    WORSE,
    Comparison,
    Noise,
    compare,
    sentence,
)
from model_training.evaluation.evaluation import Evaluation
from model_training.evaluation.measures import entropy, share
from veritag.records.training.runs import KEPT, PROMOTED, UNDECIDED

LEAST_EFFECTIVE = 2.0
"""Clusters that must be in real use, as the exponential of the occupancy's entropy."""


@dataclass(frozen=True, slots=True)
class GateConfig:
    """When and how the gate decides.

    Attributes
    ----------
    least_images, least_patients
        Of the reference set; with fewer it does not decide.
    most_flag_change
        Share of the reference's images that the challenger may flag anew, and may no
        longer flag.
    """

    least_images: int = 100
    least_patients: int = 20
    most_flag_change: float = 0.1
    noise: Noise = field(default_factory=Noise)


@dataclass(frozen=True)
class GateDecision:
    """What the gate decided and why, for the records and for people."""

    outcome: str
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()
    flags: Mapping[str, float] | None = None
    reference: Mapping[str, Any] | None = None

    @property
    def promoted(self) -> bool:
        """Whether the challenger shall be used."""
        return self.outcome == PROMOTED

    def as_json(self) -> dict[str, Any]:
        """Return what the records keep."""
        return {
            "outcome": self.outcome,
            "reasons": list(self.reasons),
            "figures": [asdict(c) for c in self.comparisons],
            "flags": dict(self.flags or {}),
            "reference": dict(self.reference or {}),
        }


def undecided(reason: str) -> GateDecision:
    """Return that the champion stays because nothing can be compared."""
    return GateDecision(UNDECIDED, (f"not decided, the champion stays: {reason}",))


def decide_promotion(
    challenger: Evaluation, champion: Evaluation, config: GateConfig
) -> GateDecision:
    """Compare two bundles' evaluations on the same images.

    Raises
    ------
    ValueError
        If they are not of the same images.
    """
    if not np.array_equal(challenger.asked.patient, champion.asked.patient):
        raise ValueError("the two bundles were evaluated on different images")
    small = _too_small(challenger, config)
    if small:
        return undecided(small)
    compared = compare(challenger, champion, config.noise)
    flags = flag_changes(challenger, champion)
    against = [
        *_collapse(challenger),
        *_changed_flags(flags, config),
        *(sentence(c) for c in compared if c.verdict == WORSE),
    ]
    in_favor = [sentence(c) for c in compared if c.verdict == BETTER]
    if challenger.bundle_id == champion.bundle_id:
        against.append("it is the bundle that is in use")
    elif not against and not in_favor:
        against.append("no figure is better beyond its noise")
    outcome = KEPT if against else PROMOTED
    reference = {"images": challenger.images, "patients": challenger.patients}
    reasons = tuple(against or in_favor)
    return GateDecision(outcome, reasons, tuple(compared), flags, reference)


def _too_small(evaluation: Evaluation, config: GateConfig) -> str | None:
    asked = (
        ("images", evaluation.images, config.least_images),
        ("patients", evaluation.patients, config.least_patients),
    )
    for what, found, least in asked:
        if found < least:
            return (
                f"the reference set holds {found} {what}, and {least} are needed to "
                "tell a difference from noise"
            )
    return None


def _collapse(challenger: Evaluation) -> list[str]:
    """Say that clusters are not in use although there are kinds to tell apart."""
    asked = challenger.asked
    held = np.array([n for _, _, n in challenger.clusters], dtype=np.float64)
    known = asked.region[asked.region >= 0]
    kinds = float(np.exp(entropy(np.bincount(known).astype(np.float64))))
    effective = float(np.exp(entropy(held)))
    if effective < min(LEAST_EFFECTIVE, kinds):
        return [f"its clusters collapsed: images lie in {effective:.1f} of {len(held)}"]
    if not challenger.outcome.known.any():
        return ["it knows none of the reference's images"]
    return []


def flag_changes(challenger: Evaluation, champion: Evaluation) -> dict[str, float]:
    """Return the shares of images flagged by each, flagged anew, and no longer."""
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
    """Return where any tag is flagged as it was received, of shape (N,)."""
    answers = evaluation.outcome.tags.values()
    flagged: NDArray[np.bool_] = np.any([a.received.flagged for a in answers], axis=0)
    return flagged


def _changed_flags(flags: Mapping[str, float], config: GateConfig) -> list[str]:
    told = {
        "flagged_anew": "are flagged by it and were not before",
        "no_longer_flagged": "were flagged before and are not by it",
    }
    return [
        f"{flags[name]:.1%} of the reference's images {words}; "
        f"up to {config.most_flag_change:.0%} are taken without a look by a person"
        for name, words in told.items()
        if flags[name] > config.most_flag_change
    ]
