"""Delays between repeated tries: growth, limit, jitter and reset."""

from veritag.process.backoff import Backoff, full_delay


def test_delays_grow_by_their_factor_up_to_the_longest() -> None:
    """Without jitter the delays are first, first * factor, ... up to the longest."""
    delays = [full_delay(failures, 1.0, 4.0, 60.0) for failures in range(5)]
    assert delays == [1.0, 4.0, 16.0, 60.0, 60.0]


def test_a_thousand_failures_are_no_overflow() -> None:
    """However many failures there were, the delay is the longest one."""
    assert full_delay(10_000, 1.0, 4.0, 60.0) == 60.0


def test_half_of_a_delay_is_random() -> None:
    """Each delay lies between half of the full delay and all of it."""
    for failures in range(6):
        backoff = Backoff(first=1.0, longest=8.0, failures=failures)
        full = full_delay(failures, 1.0, 2.0, 8.0)
        assert full / 2 <= backoff.next() <= full


def test_a_success_starts_the_delays_anew() -> None:
    """After `reset` the next delay is at most the first one."""
    backoff = Backoff(first=1.0, longest=8.0, failures=5)
    backoff.reset()
    assert backoff.next() <= 1.0
