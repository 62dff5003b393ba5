"""Pairs that a step draws from constraints."""

import numpy as np
import pytest

from model_training.constraints.pair_source import pair_source
from model_training.constraints.sample_constraints import Constraints

MUST = np.array([[0, 1], [1, 2], [5, 6]])
CANNOT = np.array([[0, 5], [2, 9]])
COMPONENTS = {0: "a", 1: "a", 2: "a", 5: "b", 6: "b", 9: "c"}


def drawn(closure: bool) -> tuple[set[tuple[int, ...]], set[tuple[int, ...]]]:
    """Return every must-link and every cannot-link of many draws."""
    source = pair_source(Constraints(MUST, CANNOT), 10, closure=closure)
    pairs, is_must = source.draw(4000, np.random.default_rng(1))
    return set(map(tuple, pairs[is_must])), set(map(tuple, pairs[~is_must]))


def test_without_closure_only_given_pairs_are_drawn() -> None:
    """As in the paper: all of them, and no other."""
    assert drawn(closure=False) == (set(map(tuple, MUST)), set(map(tuple, CANNOT)))


def test_with_closure_all_implied_pairs_are_drawn_and_no_other() -> None:
    """Must-links stay in a component, cannot-links go between two that one parts."""
    must, cannot = drawn(closure=True)
    assert {(0, 2), (1, 1), (5, 6)} <= must
    assert all(COMPONENTS[i] == COMPONENTS[j] for i, j in must)
    parted = {(COMPONENTS[i], COMPONENTS[j]) for i, j in cannot}
    assert parted == {("a", "b"), ("a", "c")}
    assert {(1, 6), (1, 9)} <= cannot


@pytest.mark.parametrize("closure", [True, False])
@pytest.mark.parametrize("count", [2, 3, 16])
def test_either_kind_is_in_every_draw(closure: bool, count: int) -> None:
    """As in the paper, each mini-batch has at least one must-link and one cannot-link."""
    source = pair_source(Constraints(MUST, CANNOT), 10, closure=closure)
    rng = np.random.default_rng(2)
    for _ in range(20):
        pairs, is_must = source.draw(count, rng)
        assert pairs.shape == (count, 2)
        assert set(is_must.tolist()) == {True, False}


def test_one_kind_alone_fills_the_draw() -> None:
    """Where there are no cannot-links all pairs are must-links, and the reverse."""
    none = np.empty((0, 2), dtype=np.int64)
    rng = np.random.default_rng(3)
    for constraints, kind in (
        (Constraints(MUST, none), True),
        (Constraints(none, CANNOT), False),
    ):
        pairs, is_must = pair_source(constraints, 10, closure=True).draw(6, rng)
        assert len(pairs) == 6
        assert (is_must == kind).all()


def test_without_pairs_nothing_is_drawn() -> None:
    """Tags may allow no constraints at all."""
    none = np.empty((0, 2), dtype=np.int64)
    source = pair_source(Constraints(none, none), 10, closure=True)
    assert source.draw(6, np.random.default_rng(4))[0].shape == (0, 2)
