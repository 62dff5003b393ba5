"""The pairs of a training step: drawn from the constraints and their closure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_training.constraints.closure import Pairs, must_link_components
from model_training.constraints.sample_constraints import Constraints

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class PairSource:
    """Draws must-links and cannot-links, half of each where there are both.

    Attributes
    ----------
    must_link, cannot_link
        Given pairs, of shape (M, 2) and (C, 2).
    members
        With closure: the rows of each must-link component. Any two of one component
        are a must-link, and any two of components that a cannot-link separates are a
        cannot-link. Empty without closure.
    component
        With closure: the component of each row.
    """

    must_link: Pairs
    cannot_link: Pairs
    members: tuple[Rows, ...] = ()
    component: Rows | None = None

    def draw(
        self, count: int, rng: np.random.Generator
    ) -> tuple[Pairs, NDArray[np.bool_]]:
        """Return pairs (count, 2) and which of them are must-links.

        A draw of two or more has pairs of both kinds, where both exist.
        """
        # Both kinds in every step, as the paper's batch sampler has it.
        must = count // 2 if len(self.cannot_link) else count
        if not len(self.must_link):
            must = 0
        drawn = [self._must(must, rng), self._cannot(count - must, rng)]
        kinds = np.repeat([True, False], [len(drawn[0]), len(drawn[1])])
        return np.concatenate(drawn), kinds

    def _must(self, count: int, rng: np.random.Generator) -> Pairs:
        chosen = _draw_rows(self.must_link, count, rng)
        if self.component is None:
            return chosen
        # One image of the pair is kept, the other is replaced within its component.
        partners = self._others(chosen[:, 1], rng)
        return np.stack([chosen[:, 0], partners], axis=1)

    def _cannot(self, count: int, rng: np.random.Generator) -> Pairs:
        chosen = _draw_rows(self.cannot_link, count, rng)
        if self.component is None:
            return chosen
        # A cannot-link separates the components of both images as a whole.
        ends = [self._others(chosen[:, end], rng) for end in (0, 1)]
        return np.stack(ends, axis=1)

    def _others(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """Return a random member of each row's component, perhaps the row itself."""
        assert self.component is not None  # noqa: S101 -- for the type checker
        components = self.component[rows]
        draws = rng.random(len(rows))
        return np.array(
            [
                self.members[c][int(u * len(self.members[c]))]
                for c, u in zip(components.tolist(), draws.tolist(), strict=True)
            ],
            dtype=np.int64,
        )


def pair_source(constraints: Constraints, n: int, *, closure: bool) -> PairSource:
    """Return the source of pairs for n training images."""
    pairs = constraints.must_link, constraints.cannot_link
    if not closure:
        return PairSource(*pairs)
    component = must_link_components(constraints.must_link, n)
    order = np.argsort(component, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(component[order])) + 1)
    return PairSource(*pairs, tuple(members), component)


def _draw_rows(pairs: Pairs, count: int, rng: np.random.Generator) -> Pairs:
    """Return `count` of the pairs, drawn with replacement; none where there are none."""
    if not len(pairs):
        return np.empty((0, 2), dtype=np.int64)
    return pairs[rng.integers(len(pairs), size=count)]
