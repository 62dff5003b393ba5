"""Wilson score intervals of shares (Wilson 1927).

Unlike the normal approximation they hold for shares near 0 and 1, where false alarms and
precision lie.
"""

from scipy.stats import binomtest

CONFIDENCE = 0.95
TWO_SIDED = CONFIDENCE
ONE_SIDED = 2 * CONFIDENCE - 1
"""Level of the two-sided interval whose ends are the one-sided 95 % bounds."""


def wilson(hits: int, n: int, level: float = TWO_SIDED) -> tuple[float, float]:
    """Return the Wilson score interval of `hits` among n; (0, 1) for n = 0."""
    if n == 0:
        return 0.0, 1.0
    interval = binomtest(hits, n).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)
