"""Group commit: waiting callers share one run of the work."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from veritag.storage.group_commit import GroupCommit


def test_who_comes_while_it_runs_shares_the_next_turn() -> None:
    """Eight callers that arrive during the first run share the second one."""
    turns: list[list[int]] = []
    started, go_on = threading.Event(), threading.Event()

    def work(items: Sequence[int]) -> None:
        turns.append(sorted(items))
        started.set()
        assert go_on.wait(60)

    together = GroupCommit(work)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(together.do, 0)
        assert started.wait(60)
        others = [pool.submit(together.do, number) for number in range(1, 9)]
        while len(together._waiting) < 8:
            threading.Event().wait(0.001)
        go_on.set()
        for done in (first, *others):
            done.result(60)
    assert turns == [[0], list(range(1, 9))]


def test_a_failure_meets_those_it_concerns() -> None:
    """An error of the work reaches its callers; the next run is independent."""
    fail = [True]

    def work(_: Sequence[None]) -> None:
        if fail.pop():
            raise OSError(5, "the disk")

    together = GroupCommit(work)
    with pytest.raises(OSError, match="the disk"):
        together.do(None)
    fail.append(False)
    together.do(None)
