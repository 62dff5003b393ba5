"""What plots show of scores: precision against recall, and reliability by bins."""

import numpy as np

from benchmarks.flagging.measures import (
    BINS,
    Floats,
    Mask,
    Scored,
    bins_of,
    once,
    ranking,
)

CURVE_POINTS = 150


def reliability(
    probability: Floats, wrong: Mask, bins: int = BINS
) -> list[dict[str, float]]:
    """Return the mean probability, the share of wrong ones and the count of each bin."""
    which = bins_of(probability, bins)
    return [
        {
            "probability": float(probability[rows].mean()),
            "wrong": float(wrong[rows].mean()),
            "count": int(rows.sum()),
        }
        for index in range(bins)
        if (rows := which == index).any()
    ]


def curve(scored: Scored) -> list[tuple[float, float]]:
    """Return recall and precision from the highest score down, thinned out."""
    ranked = ranking(scored.score, scored.wrong, once(len(scored.score)))
    found, alarms = ranked.found[0, 1:], ranked.alarms[0, 1:]
    if not len(found) or found[-1] == 0:
        return []
    recall, precision = found / found[-1], found / (found + alarms)
    kept = np.unique(np.linspace(0, len(found) - 1, CURVE_POINTS).astype(int))
    return [(round(float(recall[i]), 4), round(float(precision[i]), 4)) for i in kept]
