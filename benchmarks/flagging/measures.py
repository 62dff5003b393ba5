"""Measures of how well scores separate wrong from right values, with intervals.

Pure functions of arrays over n received values. Weights of shape (B, n) are the counts
of each value in each of B draws: ones for the measures themselves, and for intervals a
bootstrap over patients, so that images of one patient, and one image under several
injected errors, are drawn together (Field and Welsh 2007).
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
"""Draws that are calculated together; more would need more memory."""

RANKED = ("average_precision", "recall_at_1_percent", "recall_at_budget")
FIGURES = (
    *RANKED, "precision", "recall", "calibration_error", "coverage",
    "coverage_of_wrong",
)  # fmt: skip


@dataclass(frozen=True)
class ScoredValues:
    """Output of a method for n received values, and the truth.

    Attributes
    ----------
    score
        Higher for values more likely to be wrong; 0 where the method does not judge.
    flagged
        Whether the method flags the value by its own threshold.
    judged
        Whether the method judges the value.
    wrong
        Whether the value is wrong.
    patient
        Number of the patient, from 0.
    """

    score: Floats
    flagged: Mask
    judged: Mask
    wrong: Mask
    patient: Rows

    def part(self, chosen: Mask) -> "ScoredValues":
        """Return the chosen values, a mask of shape (n,)."""
        return ScoredValues(
            self.score[chosen],
            self.flagged[chosen],
            self.judged[chosen],
            self.wrong[chosen],
            self.patient[chosen],
        )


@dataclass(frozen=True)
class Ranking:
    """Cumulative weights of wrong and right values down to each score, of shape (B, k).

    The first column is 0: no value is above the highest score.

    Attributes
    ----------
    found
        Weight of wrong values, the true positives.
    alarms
        Weight of right values, the false positives.
    """

    found: Floats
    alarms: Floats


def ranking(score: Floats, wrong: Mask, weights: Floats) -> Ranking:
    """Return true and false positives when values are flagged by descending score.

    Values of the same score are flagged together.
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
    gains = np.diff(ranked.found, axis=1)
    return _divided((gains * precision).sum(axis=1), ranked.found[:, -1])


def recall_at(ranked: Ranking, false_alarms: float = FALSE_ALARMS) -> Floats:
    """Return the largest recall at a limit of false alarms, of shape (B,).

    Parameters
    ----------
    false_alarms
        Largest share of the right values that are flagged.
    """
    allowed = false_alarms * ranked.alarms[:, -1:]
    within = ranked.alarms <= allowed + 1e-9
    found = np.where(within, ranked.found, 0.0).max(axis=1)
    return _divided(found, ranked.found[:, -1])


def recall_at_budget(ranked: Ranking) -> Floats:
    """Return the recall when as many values are flagged as are wrong, of shape (B,).

    Among values of the same score flags are random: this is the expected recall.
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
    numbers = bins_of(probability, bins)
    gaps = np.zeros((len(weights), bins))
    for index in range(bins):
        rows = numbers == index
        gaps[:, index] = weights[:, rows] @ (probability[rows] - wrong[rows])
    return _divided(np.abs(gaps).sum(axis=1), weights.sum(axis=1))


def figures(scored: ScoredValues, weights: Floats) -> dict[str, Floats]:
    """Return name to measure, each of shape (B,); NaN where it is undefined."""
    parts = [
        _figures(scored, weights[start : start + CHUNK])
        for start in range(0, len(weights), CHUNK)
    ]
    return {name: np.concatenate([p[name] for p in parts]) for name in FIGURES}


def _figures(scored: ScoredValues, weights: Floats) -> dict[str, Floats]:
    ranked = ranking(scored.score, scored.wrong, weights)
    flags = weights * scored.flagged
    hits = (flags * scored.wrong).sum(axis=1)
    judged = scored.judged
    return {
        "average_precision": average_precision(ranked),
        "recall_at_1_percent": recall_at(ranked),
        "recall_at_budget": recall_at_budget(ranked),
        "precision": _divided(hits, flags.sum(axis=1)),
        "recall": _divided(hits, ranked.found[:, -1]),
        "calibration_error": calibration_error(
            np.clip(scored.score[judged], 0, 1),
            scored.wrong[judged],
            weights[:, judged],
        ),
        "coverage": _divided(weights @ judged.astype(np.float64), weights.sum(axis=1)),
        "coverage_of_wrong": _divided(
            weights @ (judged & scored.wrong).astype(np.float64), ranked.found[:, -1]
        ),
    }


def unit_weights(n: int) -> Floats:
    """Return weights of one, for the measures themselves, of shape (1, n)."""
    return np.ones((1, n))


def patient_draws(
    patient: Rows, draws: int, rng: np.random.Generator
) -> Iterator[Floats]:
    """Yield weights of shape (at most CHUNK, n) of patients drawn with replacement."""
    names, patient = np.unique(patient, return_inverse=True)
    count = len(names)
    uniform = np.full(count, 1 / max(count, 1))
    for start in range(0, draws, CHUNK):
        counts = rng.multinomial(count, uniform, size=min(CHUNK, draws - start))
        yield counts[:, patient].astype(np.float64)


def drawn_figures(
    scored: Mapping[str, ScoredValues], draws: int, seed: int
) -> dict[str, dict[str, Floats]]:
    """Return method to measures of shape (draws,), with the same draws for all."""
    rng = np.random.default_rng(seed)
    first = next(iter(scored.values()), None)
    if first is None:
        return {}
    parts: dict[str, list[dict[str, Floats]]] = {name: [] for name in scored}
    for weights in patient_draws(first.patient, draws, rng):
        for name, one in scored.items():
            parts[name].append(figures(one, weights))
    return {
        name: {f: np.concatenate([p[f] for p in chunks]) for f in FIGURES}
        for name, chunks in parts.items()
        if chunks
    }


def interval(values: Floats) -> tuple[float, float] | None:
    """Return the 95 % interval of a measure's draws, None where most are undefined."""
    defined = values[~np.isnan(values)]
    if 2 * len(defined) < len(values) or not len(defined):
        return None
    low, high = np.percentile(defined, INTERVAL)
    return float(low), float(high)


def bins_of(probability: Floats, bins: int) -> Rows:
    """Return the number of the bin of equal width of each probability, of shape (n,)."""
    return np.minimum((probability * bins).astype(np.intp), bins - 1)


def _divided(above: Floats, below: Floats, empty: float = np.nan) -> Floats:
    result = np.full(np.broadcast(above, below).shape, empty)
    np.divide(above, below, out=result, where=below > 0)
    return result
