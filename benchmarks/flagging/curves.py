"""Points of the plots: precision against recall, and reliability by bins."""

import numpy as np

from benchmarks.flagging.measures import (
    BINS,
    Floats,
    Mask,
    ScoredValues,
    bins_of,
    ranking,
    unit_weights,
)

CURVE_POINTS = 150


def reliability(
    probability: Floats, wrong: Mask, bins: int = BINS
) -> list[dict[str, float]]:
    """Return mean probability, share of wrong values and count of each bin."""
    numbers = bins_of(probability, bins)
    return [
        {
            "probability": float(probability[rows].mean()),
            "wrong": float(wrong[rows].mean()),
            "count": int(rows.sum()),
        }
        for index in range(bins)
        if (rows := numbers == index).any()
    ]


def curve(scored: ScoredValues) -> list[tuple[float, float]]:
    """Return points of recall and precision by descending score, at most CURVE_POINTS."""
    ranked = ranking(scored.score, scored.wrong, unit_weights(len(scored.score)))
    found, alarms = ranked.found[0, 1:], ranked.alarms[0, 1:]
    if not len(found) or found[-1] == 0:
        return []
    recall, precision = found / found[-1], found / (found + alarms)
    points = np.unique(np.linspace(0, len(found) - 1, CURVE_POINTS).astype(int))
    return [(round(float(recall[i]), 4), round(float(precision[i]), 4)) for i in points]
