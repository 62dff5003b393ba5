"""Delays between repeated tries, which grow after each failure."""

import random
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Growing delays, in seconds, of one thing that is tried again and again.

    Attributes
    ----------
    first, longest
        Delay after the first failure, and the longest one.
    factor
        Growth from one failure to the next.
    failures
        Failures since the last success.
    """

    first: float = 1.0
    longest: float = 300.0
    factor: float = 2.0
    failures: int = 0

    def next(self) -> float:
        """Count a failure; return the delay after it, with jitter."""
        delay = delay_after(self.failures, self.first, self.factor, self.longest)
        self.failures += 1
        return delay

    def reset(self) -> None:
        """Start with the first delay again, after a success."""
        self.failures = 0


def full_delay(failures: int, first: float, factor: float, longest: float) -> float:
    """Return the delay after this many earlier failures, without jitter."""
    # The exponent is bounded because a float overflows at a power of some thousands.
    return min(longest, first * factor ** min(failures, 64))


def delay_after(failures: int, first: float, factor: float, longest: float) -> float:
    """Return the delay after this many earlier failures, with jitter.

    Half of it is fixed and half random, so that several processes which fail together
    do not try again together.
    """
    delay = full_delay(failures, first, factor, longest)
    return delay * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret
