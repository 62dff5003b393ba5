"""How well scores tell wrong values from right ones: figures, intervals, differences.

Pure functions of arrays over n judged values. Weights, of shape (B, n), say how often
each counts in each of B draws: all ones for the figures themselves, and for intervals
the numbers of a bootstrap that draws patients, so that images of one patient, and one
image under several injected errors, are drawn together (Field and Welsh 2007).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
Rows: TypeAlias = NDArray[np.intp]

FALSE_ALARMS = 0.01
BINS = 15
INTERVAL = (2.5, 97.5)
CHUNK = 50
"""Draws that are calculated together, for the sake of memory."""

RANKED = ("average_precision", "recall_at_1_percent", "recall_at_budget")
FIGURES = (
    *RANKED, "precision", "recall", "calibration_error", "coverage",
    "coverage_of_wrong",
)  # fmt: skip


@dataclass(frozen=True)
class Scored:
    """What a method says of n received values, and what is true.

    Attributes
    ----------
    score
        The higher, the likelier wrong; 0 where the method has no opinion.
    flagged
        What it would show to a person by its own threshold.
    opinion
        Where it says anything.
    wrong
        Whether the value is wrong.
    patient
        Number of the patient, from 0.
    """

    score: Floats
    flagged: Mask
    opinion: Mask
    wrong: Mask
    patient: Rows

    def part(self, chosen: Mask) -> "Scored":
        """Return the chosen values, a mask of shape (n,)."""
        return Scored(
            self.score[chosen],
            self.flagged[chosen],
            self.opinion[chosen],
            self.wrong[chosen],
            self.patient[chosen],
        )


@dataclass(frozen=True)
class Ranking:
    """Weights of wrong and right values above each distinct score, of shape (B, k).

    The first column is above the highest score: nothing.
    """

    found: Floats
    alarms: Floats


def ranking(score: Floats, wrong: Mask, weights: Floats) -> Ranking:
    """Return what is found, and what in vain, when flagged from the highest score down.

    Values of the same score stand or fall together.
    """
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    ends = ends[ends >= 0]
    sorted_weights = weights[:, order]
    total = sorted_weights.cumsum(axis=1)[:, ends]
    found = (sorted_weights * wrong[order]).cumsum(axis=1)[:, ends]
    before = np.zeros((len(weights), 1))
    return Ranking(np.hstack([before, found]), np.hstack([before, total - found]))


def average_precision(ranked: Ranking) -> Floats:
    """Return the mean of the precision over the wrong values found, of shape (B,).

    NaN where nothing is wrong.
    """
    found, alarms = ranked.found[:, 1:], ranked.alarms[:, 1:]
    precision = _divided(found, found + alarms, empty=0.0)
    gained = np.diff(ranked.found, axis=1)
    return _divided((gained * precision).sum(axis=1), ranked.found[:, -1])


def recall_at(ranked: Ranking, false_alarms: float = FALSE_ALARMS) -> Floats:
    """Return the largest share of wrong values found at so few false alarms, (B,).

    Parameters
    ----------
    false_alarms
        Share of the right values that may be flagged.
    """
    allowed = false_alarms * ranked.alarms[:, -1:]
    within = ranked.alarms <= allowed + 1e-9
    found = np.where(within, ranked.found, 0.0).max(axis=1)
    return _divided(found, ranked.found[:, -1])


def recall_at_budget(ranked: Ranking) -> Floats:
    """Return the share found when as many are flagged as are wrong, of shape (B,).

    Among values of the same score the flags fall at random: the expected share.
    """
    flagged = ranked.found + ranked.alarms
    budget = ranked.found[:, -1]
    found = [
        np.interp(b, x, y)
        for b, x, y in zip(budget, flagged, ranked.found, strict=True)
    ]
    return _divided(np.array(found), budget)


def calibration_error(
    probability: Floats, wrong: Mask, weights: Floats, bins: int = BINS
) -> Floats:
    """Return the expected calibration error over bins of equal width (Guo 2017), (B,)."""
    which = bins_of(probability, bins)
    gaps = np.zeros((len(weights), bins))
    for index in range(bins):
        rows = which == index
        gaps[:, index] = weights[:, rows] @ (probability[rows] - wrong[rows])
    return _divided(np.abs(gaps).sum(axis=1), weights.sum(axis=1))


def figures(scored: Scored, weights: Floats) -> dict[str, Floats]:
    """Return name to figure, each of shape (B,); NaN where there is nothing to divide."""
    parts = [
        _figures(scored, weights[start : start + CHUNK])
        for start in range(0, len(weights), CHUNK)
    ]
    return {name: np.concatenate([p[name] for p in parts]) for name in FIGURES}


def _figures(scored: Scored, weights: Floats) -> dict[str, Floats]:
    ranked = ranking(scored.score, scored.wrong, weights)
    flags = weights * scored.flagged
    hits = (flags * scored.wrong).sum(axis=1)
    said = scored.opinion
    return {
        "average_precision": average_precision(ranked),
        "recall_at_1_percent": recall_at(ranked),
        "recall_at_budget": recall_at_budget(ranked),
        "precision": _divided(hits, flags.sum(axis=1)),
        "recall": _divided(hits, ranked.found[:, -1]),
        "calibration_error": calibration_error(
            np.clip(scored.score[said], 0, 1), scored.wrong[said], weights[:, said]
        ),
        "coverage": _divided(weights @ said.astype(np.float64), weights.sum(axis=1)),
        "coverage_of_wrong": _divided(
            weights @ (said & scored.wrong).astype(np.float64), ranked.found[:, -1]
        ),
    }


def once(n: int) -> Floats:
    """Return the weights of the figures themselves, of shape (1, n)."""
    return np.ones((1, n))


def patient_draws(
    patient: Rows, draws: int, rng: np.random.Generator
) -> Iterator[Floats]:
    """Yield weights of shape (at most CHUNK, n): patients drawn with return."""
    names, patient = np.unique(patient, return_inverse=True)
    count = len(names)
    even = np.full(count, 1 / max(count, 1))
    for start in range(0, draws, CHUNK):
        drawn = rng.multinomial(count, even, size=min(CHUNK, draws - start))
        yield drawn[:, patient].astype(np.float64)


def drawn_figures(
    scored: Mapping[str, Scored], draws: int, seed: int
) -> dict[str, dict[str, Floats]]:
    """Return method to figures of shape (draws,); all methods see the same patients."""
    rng = np.random.default_rng(seed)
    first = next(iter(scored.values()), None)
    if first is None:
        return {}
    parts: dict[str, list[dict[str, Floats]]] = {name: [] for name in scored}
    for weights in patient_draws(first.patient, draws, rng):
        for name, one in scored.items():
            parts[name].append(figures(one, weights))
    return {
        name: {f: np.concatenate([p[f] for p in done]) for f in FIGURES}
        for name, done in parts.items()
        if done
    }


def interval(values: Floats) -> tuple[float, float] | None:
    """Return the 95 % interval of drawn figures; None where most could not be told."""
    told = values[~np.isnan(values)]
    if 2 * len(told) < len(values) or not len(told):
        return None
    low, high = np.percentile(told, INTERVAL)
    return float(low), float(high)


def bins_of(probability: Floats, bins: int) -> Rows:
    """Return the bin of equal width that each probability lies in, of shape (n,)."""
    return np.minimum((probability * bins).astype(np.intp), bins - 1)


def _divided(above: Floats, below: Floats, empty: float = np.nan) -> Floats:
    result = np.full(np.broadcast(above, below).shape, empty)
    np.divide(above, below, out=result, where=below > 0)
    return result
