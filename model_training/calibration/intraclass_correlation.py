"""Intraclass correlation: how far the images of a group repeat one another."""

import numpy as np
from numpy.typing import NDArray

from veritag.judging.tag_probabilities import Floats

UNKNOWN = 1.0
"""Correlation where too few groups show it: the images of a series then count as one."""
LEAST_GROUPS = 5


def intraclass_correlation(scores: Floats, groups: NDArray[np.str_]) -> float:
    """Return the intraclass correlation of scores, 0 to 1 (Kish 1965, section 5.4).

    One-way analysis of variance: the variance between groups as a share of the whole.
    With rho, n images of a group are worth n / (1 + (n - 1) rho) independent ones.

    Parameters
    ----------
    scores
        Scores of received values, of shape (n,); NaN is left out.
    groups
        Of shape (n,); groups of one image are left out.
    """
    scored = ~np.isnan(scores)
    scores, groups = scores[scored], groups[scored]
    _, rows, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if int((sizes > 1).sum()) < LEAST_GROUPS:
        return UNKNOWN
    # A group of one shows no variance within, and would make its group look alike.
    several = sizes[rows] > 1
    scores, rows = scores[several], rows[several]
    _, rows, sizes = np.unique(rows, return_inverse=True, return_counts=True)
    between, within = _mean_squares(scores, rows, sizes)
    count, total = len(sizes), len(scores)
    # Groups differ in size: this is the size that n has in the balanced formula.
    usual = (total - float((sizes**2).sum()) / total) / (count - 1)
    variance = between + (usual - 1) * within
    if variance <= 0:
        return UNKNOWN
    return float(np.clip((between - within) / variance, 0.0, 1.0))


def _mean_squares(
    scores: Floats, rows: NDArray[np.intp], sizes: NDArray[np.intp]
) -> tuple[float, float]:
    """Return the mean squares between and within groups."""
    means = np.bincount(rows, scores) / sizes
    between = float((sizes * (means - scores.mean()) ** 2).sum())
    within = float(((scores - means[rows]) ** 2).sum())
    groups = len(sizes)
    return between / (groups - 1), within / max(1, len(scores) - groups)
