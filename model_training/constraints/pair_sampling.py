"""Sampling of pairs of instances by a rule on their tags, without all N x N pairs.

Instances with equal tags share one tag tuple, and tuples are drawn. Each round draws
anchors, tests 128 partners of each against the rule and keeps one allowed partner.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from model_training.constraints.closure import Pairs
from model_training.constraints.gower import Floats, Indices, Mask

PARTNERS = 128
"""Partners tested for one anchor in one round."""
ANCHORS = 512
"""Anchors in one round; with their partners, 7 MB of values."""
STALE = 3
"""Rounds in a row without a new pair after which the draw ends."""
PATIENCE = 20
"""Most rounds for every 512 pairs requested, where allowed pairs are rare."""

Rule = Callable[[Indices, Indices], Mask]
"""Returns which pairs of tuples (B, 1) and (B, k) are allowed, of shape (B, k)."""


@dataclass(frozen=True)
class Tuples:
    """Distinct tag tuples and their instances.

    Attributes
    ----------
    members
        The N instances, ordered by tuple.
    starts
        Start of each tuple's members, of shape (T + 1,).
    of_instance
        The tuple of each instance, of shape (N,).
    """

    members: Indices
    starts: Indices
    of_instance: Indices

    @property
    def counts(self) -> Indices:
        """Number of instances of each tuple, of shape (T,)."""
        return np.diff(self.starts)


def index_tuples(of_instance: Indices, counts: Indices) -> Tuples:
    """Return tuples from the tuple of each instance (N,) and the counts (T,)."""
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Tuples(np.argsort(of_instance, kind="stable"), starts, of_instance)


@dataclass(frozen=True)
class PartnerPool:
    """Tuples among which the partners of anchors are drawn.

    Attributes
    ----------
    entries
        Tuples by group, in random order within it; without those of group -1.
    starts
        Start of each group's entries, of shape (G + 1,).
    group
        Group of each tuple, of shape (T,); None where the partners of every anchor
        come from all groups in turn.
    """

    entries: Indices
    starts: Indices
    group: Indices | None

    def of(self, anchors: Indices, rng: np.random.Generator) -> Indices:
        """Return partners of anchors (B,), of shape (B, k), distinct where possible."""
        n_groups = len(self.starts) - 1
        step = np.arange(PARTNERS)[None, :]
        if self.group is None:
            groups = (rng.integers(n_groups, size=(len(anchors), 1)) + step) % n_groups
            step = step // n_groups
        else:
            groups = self.group[anchors][:, None]
        # Consecutive entries from a random start: distinct while the group is large
        # enough, and without a draw for each partner.
        sizes = np.diff(self.starts)[groups]
        begin = rng.integers(np.iinfo(np.int32).max, size=(len(anchors), 1))
        places = self.starts[groups] + (begin + step) % sizes
        return np.asarray(self.entries[places])


def partners_among(
    tuples: Tuples,
    group: Indices,
    *,
    own_group: bool,
    balanced: bool,
    rng: np.random.Generator,
) -> PartnerPool:
    """Return the pool of partners: the anchor's own group, or all groups.

    A balanced pool has one entry a tuple; others one for each of its instances.
    """
    entries = np.arange(len(group)) if balanced else tuples.of_instance
    entries = entries[group[entries] >= 0]
    order = np.lexsort((rng.random(len(entries)), group[entries]))
    sizes = np.bincount(group[entries])
    # Empty groups are dropped: each turn must yield a partner.
    starts = np.concatenate([[0], np.cumsum(sizes[sizes > 0])]).astype(np.int64)
    # Group -1 refers to the last element.
    renumbered = np.append(np.cumsum(sizes > 0) - 1, 0)
    pool_of = renumbered[group] if own_group else None
    return PartnerPool(entries[order], starts, pool_of)


@dataclass(frozen=True)
class PairDraw:
    """One kind of pair to be drawn.

    Attributes
    ----------
    chances
        Probability of each tuple to be the next anchor, of shape (T,), with sum 1; all
        0 where no tuple can have a partner.
    """

    tuples: Tuples
    partners: PartnerPool
    is_allowed: Rule
    chances: Floats


def pairs_of_instances(
    draw: PairDraw, instances: Indices, codes: Pairs, n: int, rng: np.random.Generator
) -> Pairs:
    """Return codes with one more pair for each instance that can have one, up to n.

    A pair (i, j) of N instances, i < j, has the code i N + j.
    """
    anchors = draw.tuples.of_instance[instances]
    able = rng.permutation(instances[draw.chances[anchors] > 0])
    for start in range(0, len(able), ANCHORS):
        block = able[start : start + ANCHORS]
        drawn = _one_each(draw, draw.tuples.of_instance[block], block, rng)
        codes = np.concatenate([codes, _new_codes(codes, drawn)])
    return codes[:n]


def add_pairs(draw: PairDraw, codes: Pairs, n: int, rng: np.random.Generator) -> Pairs:
    """Return codes with more pairs, up to n, fewer where no more are found."""
    rounds = PATIENCE * (1 + n // ANCHORS) if draw.chances.any() else 0
    stale = 0
    while len(codes) < n and stale < STALE and rounds > 0:
        # Twice the missing number: some anchors find no partner or a known pair.
        wanted = int(np.clip(2 * (n - len(codes)), 64, ANCHORS))
        anchors = rng.choice(len(draw.chances), size=wanted, p=draw.chances)
        new = _new_codes(codes, _one_each(draw, anchors, None, rng))
        codes = np.concatenate([codes, new])[:n]
        stale = 0 if len(new) else stale + 1
        rounds -= 1
    return codes


def as_pairs(codes: Pairs, n_instances: int) -> Pairs:
    """Return the pairs i < j of codes, sorted, of shape (P, 2)."""
    pairs = np.column_stack(np.divmod(np.sort(codes), max(1, n_instances)))
    return np.asarray(pairs, dtype=np.int64)


def _new_codes(codes: Pairs, drawn: Pairs) -> Pairs:
    """Return drawn codes that are not in `codes`, once each, in the order drawn."""
    _, first = np.unique(drawn, return_index=True)
    in_order = drawn[np.sort(first)]
    return in_order[~np.isin(in_order, codes)]


def _one_each(
    draw: PairDraw,
    anchors: Indices,
    instances: Indices | None,
    rng: np.random.Generator,
) -> Pairs:
    """Return the code of one allowed pair of each anchor that has one."""
    partners = draw.partners.of(anchors, rng)
    alone = draw.tuples.counts[anchors] < 2  # noqa: PLR2004 -- a pair needs two
    # A tuple may be its own partner only if two instances have it.
    itself = partners == anchors[:, None]
    allowed = draw.is_allowed(anchors[:, None], partners) & ~(itself & alone[:, None])
    # The largest of random keys is a uniform choice among the allowed partners.
    keys = np.where(allowed, rng.random(allowed.shape), -1.0)
    chosen = np.take_along_axis(partners, keys.argmax(axis=1)[:, None], axis=1)[:, 0]
    paired = allowed.any(axis=1)
    first = None if instances is None else instances[paired]
    return _as_codes(draw.tuples, anchors[paired], chosen[paired], first, rng)


def _as_codes(
    tuples: Tuples,
    a: Indices,
    b: Indices,
    first: Indices | None,
    rng: np.random.Generator,
) -> Pairs:
    """Return i N + j, with i < j drawn from the members of tuples a and b, (P,) each.

    Given `first`, one instance of each pair is not drawn.
    """
    i = (
        first
        if first is not None
        else _member(tuples, a, rng.integers(tuples.counts[a]))
    )
    place = rng.integers(tuples.counts[b])
    # Both tuples may be the same: an instance is no partner of itself.
    clash = _member(tuples, b, place) == i
    j = _member(tuples, b, np.where(clash, (place + 1) % tuples.counts[b], place))
    return np.minimum(i, j) * len(tuples.of_instance) + np.maximum(i, j)


def _member(tuples: Tuples, numbers: Indices, places: Indices) -> Indices:
    """Return the instance at each place among the members of each tuple, (P,)."""
    return np.asarray(tuples.members[tuples.starts[numbers] + places])
