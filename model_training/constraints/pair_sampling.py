"""Pairs of instances drawn by a rule on their tag tuples, never from all N x N.

Each round draws anchors, looks at a few hundred partners of each and keeps one that the
rule allows. Instances with the same tags are one tuple, and tuples are what is drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from model_training.constraints.closure import Pairs
from model_training.constraints.gower import Floats, Indices, Mask

PARTNERS = 128
"""Partners that are looked at for one anchor in one round."""
ANCHORS = 512
"""Anchors that are worked on at a time; with their partners, 7 MB of values."""
STALE = 3
"""Rounds in a row without a new pair after which there are taken to be no more."""
PATIENCE = 20
"""Rounds for every 512 pairs asked for, where pairs are there but hard to find."""

Rule = Callable[[Indices, Indices], Mask]
"""Tells of tuples (B, 1) and (B, k) which pairs are allowed, of shape (B, k)."""


@dataclass(frozen=True)
class Tuples:
    """Distinct tag tuples and which instances have them.

    Attributes
    ----------
    members
        The N instances, those of one tuple side by side.
    starts
        Where each tuple's members start, of shape (T + 1,).
    of_instance
        The tuple of each instance, of shape (N,).
    """

    members: Indices
    starts: Indices
    of_instance: Indices

    @property
    def counts(self) -> Indices:
        """How many instances have each tuple, of shape (T,)."""
        return np.diff(self.starts)


def index_tuples(of_instance: Indices, counts: Indices) -> Tuples:
    """Return tuples by the tuple of each instance (N,) and their counts (T,)."""
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Tuples(np.argsort(of_instance, kind="stable"), starts, of_instance)


@dataclass(frozen=True)
class PartnerPool:
    """Where the partners of anchors are looked for.

    Attributes
    ----------
    entries
        Tuples in random order within their group; -1 was never a group.
    starts
        Where each group's entries start, of shape (G + 1,).
    group
        The group of each tuple, of shape (T,), or None where the partners of every
        anchor come from all groups in turn.
    """

    entries: Indices
    starts: Indices
    group: Indices | None

    def of(self, anchors: Indices, rng: np.random.Generator) -> Indices:
        """Return partners of anchors (B,), of shape (B, k), none twice if avoidable."""
        n_groups = len(self.starts) - 1
        step = np.arange(PARTNERS)[None, :]
        if self.group is None:
            groups = (rng.integers(n_groups, size=(len(anchors), 1)) + step) % n_groups
            step = step // n_groups
        else:
            groups = self.group[anchors][:, None]
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
    """Return where partners are looked for: in the anchor's own group or in all.

    Balanced, each tuple has one entry; else one for each of its instances.
    """
    entries = np.arange(len(group)) if balanced else tuples.of_instance
    entries = entries[group[entries] >= 0]
    order = np.lexsort((rng.random(len(entries)), group[entries]))
    sizes = np.bincount(group[entries])
    # Numbers of groups that nobody is in would leave holes in the turns.
    starts = np.concatenate([[0], np.cumsum(sizes[sizes > 0])]).astype(np.int64)
    # The last number is what group -1 points to.
    renumbered = np.append(np.cumsum(sizes > 0) - 1, 0)
    own = renumbered[group] if own_group else None
    return PartnerPool(entries[order], starts, own)


@dataclass(frozen=True)
class PairDraw:
    """One kind of pair to be drawn.

    Attributes
    ----------
    chances
        Of each tuple to be the next anchor, of shape (T,); they sum to 1, or are all 0
        where no tuple can have a partner.
    """

    tuples: Tuples
    partners: PartnerPool
    is_allowed: Rule
    chances: Floats


def pairs_of_instances(
    draw: PairDraw, instances: Indices, codes: Pairs, n: int, rng: np.random.Generator
) -> Pairs:
    """Return codes with one more pair for each instance that has one, n in all.

    A pair (i, j) of N instances, i < j, has the code i N + j.
    """
    anchors = draw.tuples.of_instance[instances]
    able = rng.permutation(instances[draw.chances[anchors] > 0])
    for start in range(0, len(able), ANCHORS):
        block = able[start : start + ANCHORS]
        found = _one_each(draw, draw.tuples.of_instance[block], block, rng)
        codes = np.concatenate([codes, _fresh(codes, found)])
    return codes[:n]


def add_pairs(draw: PairDraw, codes: Pairs, n: int, rng: np.random.Generator) -> Pairs:
    """Return codes with more pairs, n in all, fewer where no more are found."""
    rounds = PATIENCE * (1 + n // ANCHORS) if draw.chances.any() else 0
    stale = 0
    while len(codes) < n and stale < STALE and rounds > 0:
        wanted = int(np.clip(2 * (n - len(codes)), 64, ANCHORS))
        anchors = rng.choice(len(draw.chances), size=wanted, p=draw.chances)
        new = _fresh(codes, _one_each(draw, anchors, None, rng))
        codes = np.concatenate([codes, new])[:n]
        stale = 0 if len(new) else stale + 1
        rounds -= 1
    return codes


def as_pairs(codes: Pairs, n_instances: int) -> Pairs:
    """Return pairs i < j by their codes, in order, of shape (P, 2)."""
    pairs = np.column_stack(np.divmod(np.sort(codes), max(1, n_instances)))
    return np.asarray(pairs, dtype=np.int64)


def _fresh(codes: Pairs, found: Pairs) -> Pairs:
    """Return what was found and is not there yet, once each, in the order found."""
    _, at = np.unique(found, return_index=True)
    in_order = found[np.sort(at)]
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
    itself = partners == anchors[:, None]
    allowed = draw.is_allowed(anchors[:, None], partners) & ~(itself & alone[:, None])
    keys = np.where(allowed, rng.random(allowed.shape), -1.0)
    chosen = np.take_along_axis(partners, keys.argmax(axis=1)[:, None], axis=1)[:, 0]
    found = allowed.any(axis=1)
    own = None if instances is None else instances[found]
    return _as_codes(draw.tuples, anchors[found], chosen[found], own, rng)


def _as_codes(
    tuples: Tuples,
    a: Indices,
    b: Indices,
    own: Indices | None,
    rng: np.random.Generator,
) -> Pairs:
    """Return i N + j, with i < j drawn from the members of tuples a and b, (P,) each."""
    i = own if own is not None else _member(tuples, a, rng.integers(tuples.counts[a]))
    at = rng.integers(tuples.counts[b])
    clash = _member(tuples, b, at) == i
    j = _member(tuples, b, np.where(clash, (at + 1) % tuples.counts[b], at))
    return np.minimum(i, j) * len(tuples.of_instance) + np.maximum(i, j)


def _member(tuples: Tuples, of: Indices, at: Indices) -> Indices:
    return np.asarray(tuples.members[tuples.starts[of] + at])
