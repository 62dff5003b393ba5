"""Sampling of must-links and cannot-links between instances from their tags.

Manojlovic & Stajduhar, Diagnostics 2021, 11(10):1920: instances nearer than epsilon by
Gower's distance of their tags must link, those further apart than phi cannot link.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.constraints.closure import (
    Pairs,
    Purity,
    contradictions,
    must_link_components,
    share_agreeing,
)
from model_training.constraints.constraint_config import (
    KIND,
    PAPER_CONSTRAINTS,
    ConstraintConfig,
)
from model_training.constraints.constraint_rules import (
    TagTuples,
    cannot_links,
    must_links,
    tag_tuples,
)
from model_training.constraints.gower import Indices
from model_training.constraints.pair_sampling import (
    add_pairs,
    as_pairs,
    pairs_of_instances,
)
from model_training.snapshots.samples import Sample

__all__ = [
    "PAPER_CONSTRAINTS",
    "ConstraintConfig",
    "Constraints",
    "purity",
    "sample_constraints",
]

LARGEST = 5
"""Number of components whose sizes are in the report."""


@dataclass(frozen=True)
class Constraints:
    """Pairs of instances, as rows i < j of their samples.

    Attributes
    ----------
    must_link
        Of shape (M, 2).
    cannot_link
        Of shape (C, 2).
    report
        Figures about them, see `sample_constraints`.
    """

    must_link: Pairs
    cannot_link: Pairs
    report: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.must_link) + len(self.cannot_link)


def purity(constraints: Constraints, labels: NDArray[np.str_]) -> Purity:
    """Return the shares of must-links with equal and cannot-links with unequal labels.

    `labels` (N,) are the true ones; pairs with an empty label are left out.
    """
    return Purity(
        share_agreeing(constraints.must_link, labels, alike=True),
        share_agreeing(constraints.cannot_link, labels, alike=False),
    )


def sample_constraints(
    samples: Sequence[Sample],
    n_constraints: int,
    *,
    config: ConstraintConfig,
    seed: int,
) -> Constraints:
    """Sample n constraints, half of each kind, from the samples' tags.

    Instances whose Modality or BodyPartExamined a reviewer verified come first, with one
    pair of each kind where the rules allow one. A cannot-link inside a must-link
    component is a contradiction, because components are used as a whole; it is left out
    unless the config keeps it. With Modality and BodyPartExamined both required and
    deciding, contradictions arise only where kinds of modality overlap in a chain.

    Where tags allow fewer pairs (all missing, or one modality and region only), the
    report's `shortfall` gives the number and the reason.

    Time is O(N log N + n) and memory O(N + n): pairs are tested in blocks of 512 x 128,
    never all N x N. A million instances took 7 s of one core and at most 0.45 GB.

    Returns
    -------
    Constraints with a report: numbers of `instances`, of `distinct` tag tuples, of pairs
    `requested`, of `must_link` and `cannot_link` pairs, of `contradictions` and of those
    `left_out`, of must-link `components` with two or more instances, and the sizes of the
    `largest_components`; the share of the most frequent pair of tag tuples in each kind
    of pair (`top_tuple_pair`), the share of each modality among the images of pairs
    (`modalities`), the share of cannot-links `within_modality`; the number of `verified`
    instances and of those in a pair (`verified_in`); and the `shortfall`.
    """
    rng = np.random.default_rng(seed)
    tags = tag_tuples(samples, config)
    # Pairs of reviewed images are drawn first, because their tags are right.
    verified = np.flatnonzero([_is_verified(s) for s in samples]).astype(np.int64)
    n_must = n_constraints // 2
    n_cannot = n_constraints - n_must
    must = _sample_must_links(tags, n_must, verified, config, rng)
    drawn = _sample_cannot_links(tags, n_cannot, verified, config, rng)
    # Left out after the draw: only all must-links together show the components.
    contradict = contradictions(must, drawn, len(samples))
    cannot = drawn if config.keep_contradictions else drawn[~contradict]
    report = {
        "instances": len(samples),
        "distinct": len(tags.rows),
        "requested": n_constraints,
        "must_link": len(must),
        "cannot_link": len(cannot),
        "contradictions": int(contradict.sum()),
        "left_out": len(drawn) - len(cannot),
        **_components(must, len(samples)),
        **_balance(tags, must, cannot),
        "verified": len(verified),
        "verified_in": int(np.isin(verified, np.concatenate([must, cannot])).sum()),
        "shortfall": _shortfall(
            n_must - len(must), n_cannot - len(drawn), len(drawn) - len(cannot)
        ),
    }
    return Constraints(must, cannot, report)


def _sample_must_links(
    tags: TagTuples,
    n: int,
    verified: Indices,
    config: ConstraintConfig,
    rng: np.random.Generator,
) -> Pairs:
    draw = must_links(tags, config, rng)
    codes = pairs_of_instances(draw, verified, np.empty(0, np.int64), n, rng)
    return as_pairs(add_pairs(draw, codes, n, rng), len(tags.tuples.of_instance))


def _sample_cannot_links(
    tags: TagTuples,
    n: int,
    verified: Indices,
    config: ConstraintConfig,
    rng: np.random.Generator,
) -> Pairs:
    codes = np.empty(0, np.int64)
    anywhere = cannot_links(tags, config, rng, within_modality=False)
    if config.within_modality > 0:
        # Drawn first: the others then fill what a single modality cannot give.
        within = cannot_links(tags, config, rng, within_modality=True)
        codes = pairs_of_instances(within, verified, codes, n, rng)
        codes = add_pairs(within, codes, int(config.within_modality * n), rng)
    codes = pairs_of_instances(anywhere, verified, codes, n, rng)
    codes = add_pairs(anywhere, codes, n, rng)
    return as_pairs(codes, len(tags.tuples.of_instance))


def _is_verified(sample: Sample) -> bool:
    return any(tag in sample.verified and tag in sample.tags for tag in KIND)


def _components(must_link: Pairs, n: int) -> dict[str, Any]:
    sizes = np.bincount(must_link_components(must_link, n), minlength=1)
    joined = np.sort(sizes[sizes > 1])[::-1]
    return {
        "components": len(joined),
        "largest_components": joined[:LARGEST].tolist(),
    }


def _balance(tags: TagTuples, must: Pairs, cannot: Pairs) -> dict[str, Any]:
    of_instance = tags.tuples.of_instance
    modality = tags.modality[of_instance[cannot]]
    within = (modality[:, 0] == modality[:, 1]) & (modality[:, 0] >= 0)
    return {
        "top_tuple_pair": {
            "must_link": _top_share(of_instance[must]),
            "cannot_link": _top_share(of_instance[cannot]),
        },
        "modalities": {
            "must_link": _shares(tags, of_instance[must]),
            "cannot_link": _shares(tags, of_instance[cannot]),
        },
        "within_modality": float(within.mean()) if len(within) else 0.0,
    }


def _top_share(pairs: Indices) -> float:
    """Return the share of the most frequent pair among pairs of tuples (P, 2)."""
    if len(pairs) == 0:
        return 0.0
    _, counts = np.unique(np.sort(pairs, axis=1), axis=0, return_counts=True)
    return float(counts.max() / len(pairs))


def _shares(tags: TagTuples, pairs: Indices) -> dict[str, float]:
    """Return the share of each modality among both tuples of pairs (P, 2)."""
    names = ("missing", *tags.encoding.vocabularies["Modality"])
    column = int(tags.encoding.members("Modality")[0])
    codes = np.nan_to_num(tags.rows[pairs.ravel(), column], nan=-1).astype(np.int64)
    counts = np.bincount(codes + 1, minlength=len(names))
    total = max(1, len(codes))
    shares = zip(names, counts.tolist(), strict=True)
    return {name: count / total for name, count in shares if count}


def _shortfall(must_link: int, cannot_link: int, contradicting: int) -> str:
    """Return a sentence on missing pairs and the reason, empty where none are missing."""
    missing = {"must-links": must_link, "cannot-links": cannot_link}
    counts = [f"{count} {name}" for name, count in missing.items() if count > 0]
    sentences = []
    if counts:
        sentences.append(
            f"{' and '.join(counts)} fewer than requested, because the tags allow no "
            "more: images with Modality and BodyPartExamined allow more."
        )
    if contradicting:
        sentences.append(
            f"{contradicting} cannot-links contradicted the must-links and were left "
            "out: required tags prevent must-links between different kinds."
        )
    return " ".join(sentences)
