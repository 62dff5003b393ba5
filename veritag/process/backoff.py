"""How long to wait before the next try."""

import random
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Delays that double, in seconds, with jitter: peers must not all come at once."""

    first: float = 1.0
    longest: float = 300.0
    tries: int = 0

    def next(self) -> float:
        """Return the next delay: half of it is certain, the other half chance."""
        delay = delay_after(self.tries, self.first, 2.0, self.longest)
        self.tries += 1
        return delay

    def reset(self) -> None:
        """Begin anew, after a success."""
        self.tries = 0


def delay_after(tries: int, first: float, factor: float, longest: float) -> float:
    """Return the delay after so many tries, in seconds."""
    # The exponent is bounded: a power of thousands is no float.
    whole = min(longest, first * factor ** min(tries, 64))
    return whole * random.uniform(0.5, 1.0)  # noqa: S311 - chance, not secrecy
