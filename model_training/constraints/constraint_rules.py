"""Rules for pairs of tag tuples: which are allowed, and where they are drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from model_training.constraints.constraint_config import KIND, ConstraintConfig
from model_training.constraints.gower import (
    Floats,
    Indices,
    Mask,
    distinct_rows,
    paired_distance,
    tag_dissimilarity,
)
from model_training.constraints.pair_sampling import (
    PairDraw,
    Rule,
    Tuples,
    index_tuples,
    partners_among,
)
from model_training.constraints.tag_encoding import CATEGORIES, TagEncoding, fit_tags
from model_training.snapshots.samples import Sample


@dataclass(frozen=True)
class TagTuples:
    """The distinct tag tuples of samples.

    Attributes
    ----------
    rows
        Encoded tuples, of shape (T, F).
    tuples
        The instances of each row.
    modality
        Class of like modalities of each row, -1 where missing, of shape (T,).
    kind
        Number of each row's combination of modality and body part, of shape (T,).
    """

    encoding: TagEncoding
    rows: Floats
    tuples: Tuples
    modality: Indices
    kind: Indices


def tag_tuples(samples: Sequence[Sample], config: ConstraintConfig) -> TagTuples:
    """Return the distinct tag tuples of samples."""
    encoding = fit_tags(
        samples,
        ranges=config.ranges,
        concepts=config.concepts,
        weights=dict(config.weights),
    )
    rows, of_instance, counts = distinct_rows(encoding.transform(samples))
    classes = np.column_stack([_classes(encoding, rows, tag) for tag in KIND])
    return TagTuples(
        encoding,
        rows,
        index_tuples(of_instance, counts),
        classes[:, 0],
        _joint(classes),
    )


def _classes(encoding: TagEncoding, rows: Floats, tag: str) -> Indices:
    """Return the class of like values that each row's tag is in, -1 where missing."""
    column = int(encoding.members(tag)[0])
    missing = np.isnan(rows[:, column])
    codes = np.where(missing, 0, rows[:, column]).astype(np.int64)
    table = encoding.columns.similarities.get(column)
    if table is not None:
        # Similar values, such as CR and DX, form one class.
        _, classes = connected_components(csr_array(table == 1), directed=False)
        codes = classes[codes]
    return np.where(missing, -1, codes)


def _joint(classes: Indices) -> Indices:
    """Return one number for each combination of classes (T, c), of shape (T,)."""
    _, joint = np.unique(classes, axis=0, return_inverse=True)
    return np.asarray(joint, dtype=np.int64).ravel()


def must_links(
    tags: TagTuples, config: ConstraintConfig, rng: np.random.Generator
) -> PairDraw:
    """Return the draw of must-links, whose partners agree in all required tags."""
    group = _agreeing(tags, config.required)

    def near(a: Indices, b: Indices) -> Mask:
        return _distance(tags, config, a, b) < config.epsilon

    partners = partners_among(
        tags.tuples, group, own_group=True, balanced=config.balanced, rng=rng
    )
    # A group of a single instance has no partner for it.
    in_group = group >= 0
    sizes = np.bincount(group[in_group], tags.tuples.counts[in_group])
    paired = np.append(sizes, 0)[group] > 1
    return PairDraw(tags.tuples, partners, near, _chances(tags, paired, config))


def cannot_links(
    tags: TagTuples,
    config: ConstraintConfig,
    rng: np.random.Generator,
    *,
    within_modality: bool,
) -> PairDraw:
    """Return the draw of cannot-links, whose partners are of any kind or one modality."""
    # Partners of all kinds in turn, so that common kinds do not fill the pairs.
    group = tags.kind if config.balanced else np.zeros_like(tags.kind)
    if within_modality:
        group = tags.modality
    partners = partners_among(
        tags.tuples, group, own_group=within_modality, balanced=config.balanced, rng=rng
    )
    return PairDraw(
        tags.tuples, partners, _far(tags, config), _chances(tags, group >= 0, config)
    )


def _far(tags: TagTuples, config: ConstraintConfig) -> Rule:
    deciding = [tags.encoding.members(tag) for tag in config.deciding]

    def far(a: Indices, b: Indices) -> Mask:
        apart = _distance(tags, config, a, b) > config.phi
        columns, rows = tags.encoding.columns, tags.rows
        disjoint = [
            tag_dissimilarity(rows[a], rows[b], columns, m) == 1 for m in deciding
        ]
        return apart & np.any(disjoint, axis=0) if deciding else apart

    return far


def _distance(
    tags: TagTuples, config: ConstraintConfig, a: Indices, b: Indices
) -> Floats:
    return paired_distance(
        tags.rows[a],
        tags.rows[b],
        tags.encoding.columns,
        least_comparable=config.least_comparable,
    )


def _agreeing(tags: TagTuples, required: Sequence[str]) -> Indices:
    """Return the group of tuples that agree in the required tags, of shape (T,).

    -1 where one is missing. Numeric tags must be present with any value.
    """
    classes: list[Indices] = [np.zeros(len(tags.rows), dtype=np.int64)]
    for tag in required:
        if tag in CATEGORIES:
            classes.append(_classes(tags.encoding, tags.rows, tag))
        else:
            missing = np.isnan(tags.rows[:, tags.encoding.members(tag)]).any(axis=1)
            classes.append(np.where(missing, -1, 0))
    stacked = np.column_stack(classes)
    return np.where((stacked >= 0).all(axis=1), _joint(stacked), -1)


def _chances(tags: TagTuples, possible: Mask, config: ConstraintConfig) -> Floats:
    """Return the probability of each tuple to be the next anchor, of shape (T,)."""
    if not possible.any():
        return np.zeros(len(possible))
    chances = np.where(possible, tags.tuples.counts, 0).astype(np.float64)
    if config.balanced:
        chances = _balanced(tags, possible)
    return np.asarray(chances / chances.sum())


def _balanced(tags: TagTuples, possible: Mask) -> Floats:
    """Return equal chances for modalities, kinds within them, tuples within these."""
    chances = np.zeros(len(possible))
    _, kinds, tuples_of_kind = np.unique(
        tags.kind[possible], return_inverse=True, return_counts=True
    )
    first_of_kind = np.unique(kinds, return_index=True)[1]
    modalities = tags.modality[possible]
    _, of_kind, kinds_of_modality = np.unique(
        modalities[first_of_kind], return_inverse=True, return_counts=True
    )
    # A tuple's chance is 1 / (kinds of its modality x tuples of its kind).
    chances[possible] = 1 / (tuples_of_kind * kinds_of_modality[of_kind])[kinds]
    return chances
