"""How much the pictures of a series say the same thing again."""

import numpy as np
from numpy.typing import NDArray

from veritag.judging.tag_probabilities import Floats

UNKNOWN = 1.0
"""Where nothing shows how much pictures repeat one another, a series is one witness."""
LEAST_GROUPS = 5


def intraclass_correlation(scores: Floats, groups: NDArray[np.str_]) -> float:
    """Return the intraclass correlation of scores, 0 to 1 (Kish 1965, section 5.4).

    One-way analysis of variance: what groups differ by, as a share of all variance.
    With rho, n pictures of a group are worth n / (1 + (n - 1) rho) independent ones.

    Parameters
    ----------
    scores
        Of the right values, of shape (n,); NaN is left out.
    groups
        Of shape (n,); groups of one image say nothing.
    """
    told = ~np.isnan(scores)
    scores, groups = scores[told], groups[told]
    _, rows, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    several = sizes[rows] > 1
    if int((sizes > 1).sum()) < LEAST_GROUPS:
        return UNKNOWN
    scores, rows = scores[several], rows[several]
    _, rows, sizes = np.unique(rows, return_inverse=True, return_counts=True)
    means = np.bincount(rows, scores) / sizes
    count, total = len(sizes), len(scores)
    between = float((sizes * (means - scores.mean()) ** 2).sum()) / (count - 1)
    within = float(((scores - means[rows]) ** 2).sum()) / max(1, total - count)
    usual = (total - float((sizes**2).sum()) / total) / (count - 1)
    variance = between + (usual - 1) * within
    if variance <= 0:
        return UNKNOWN
    return float(np.clip((between - within) / variance, 0.0, 1.0))
