"""Gower's distance between tag tuples of mixed kind with missing values.

J. C. Gower, A general coefficient of similarity and some of its properties, Biometrics
27 (1971) 857-871, as used for pairwise constraints by Manojlovic & Stajduhar,
Diagnostics 2021, 11(10):1920.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]
Ranges = Literal["robust", "minmax"]

BLOCK = 1 << 15
"""Pairs in one step: 256 kB for each array of them, which caches hold."""
TAIL = 0.05
"""Share of the distinct values at each end that a robust range leaves out."""


@dataclass(frozen=True)
class Columns:
    """Types, ranges and weights of the F columns of tag tuples.

    Attributes
    ----------
    categorical
        Which columns hold codes, whole numbers from 0, of shape (F,).
    ranges
        Range R of each column, of shape (F,): numbers that differ by R or more have
        similarity 0. Where R is 0, only equal numbers are similar.
    groups
        Tag of each column, of shape (F,); the columns of one tag count once together.
        By default every column is a tag of its own.
    weights
        Weight of the tag of each column, of shape (F,); 1 by default.
    similarities
        Column to the similarities of its codes in [0, 1], of shape (V, V), NaN where
        two codes are not comparable. Without one, only equal codes are similar.
    """

    categorical: Mask
    ranges: Floats
    groups: Indices
    weights: Floats
    similarities: Mapping[int, Floats] = field(default_factory=dict)

    def tags(self) -> Iterator[tuple[float, Indices]]:
        """Yield the weight and the columns of each tag with a weight above 0."""
        for group in np.unique(self.groups):
            columns = np.flatnonzero(self.groups == group)
            weight = float(self.weights[columns[0]])
            if weight > 0:
                yield weight, columns


def gower_distance(
    X: ArrayLike,
    Y: ArrayLike | None = None,
    *,
    categorical: ArrayLike,
    ranges: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    similarities: Mapping[int, Floats] | None = None,
    least_comparable: int = 1,
) -> Floats:
    """Return the distances sqrt(1 - S) between all rows of X and all rows of Y.

    S is the weighted mean similarity over the tags that both rows have (delta in Gower,
    1971). For numbers the similarity is 1 - |xi - xj| / R, clipped to [0, 1]; the paper
    of 2021 prints |xi - xj| / R, which is a dissimilarity. For categories it is
    equality or `similarities`. A tag of several columns counts once, with the mean over
    the columns that both rows have.

    Time is O(n m F). Beyond the result, memory does not grow with n times m.

    Parameters
    ----------
    X
        Of shape (n, F), with codes in categorical columns and NaN for missing values.
    Y
        Of shape (m, F); by default X.
    categorical, ranges, groups, weights, similarities
        See `Columns`. By default, ranges are maximum - minimum over X and Y.
    least_comparable
        Tags that both rows must have for their distance to be known.

    Returns
    -------
    Of shape (n, m), in [0, 1]; NaN where unknown.
    """
    x = np.asarray(X, dtype=np.float64)
    y = x if Y is None else np.asarray(Y, dtype=np.float64)
    columns = describe_columns(
        np.concatenate([x, y]), categorical, ranges, groups, weights, similarities
    )
    distances = np.empty((len(x), len(y)))
    step = max(1, BLOCK // max(1, len(y)))
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        # Distances within X are symmetric: earlier rows were compared before.
        others = slice(start if Y is None else 0, None)
        distances[part, others] = paired_distance(
            x[part, None], y[None, others], columns, least_comparable=least_comparable
        )
        if Y is None:
            distances[others, part] = distances[part, others].T
    return distances


def describe_columns(
    values: Floats,
    categorical: ArrayLike,
    ranges: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    similarities: Mapping[int, Floats] | None = None,
) -> Columns:
    """Return the columns of values (n, F), with the defaults of `Columns`."""
    count = values.shape[1]
    is_category = np.asarray(categorical, dtype=np.bool_)
    widths = value_ranges(values, is_category, "minmax") if ranges is None else ranges
    tags = np.arange(count) if groups is None else groups
    tag_weights = np.ones(count) if weights is None else weights
    return Columns(
        categorical=is_category,
        ranges=np.asarray(widths, dtype=np.float64),
        groups=np.asarray(tags, dtype=np.int64),
        weights=np.asarray(tag_weights, dtype=np.float64),
        similarities=similarities or {},
    )


def paired_distance(
    a: Floats, b: Floats, columns: Columns, *, least_comparable: int = 1
) -> Floats:
    """Return sqrt(1 - S) of rows paired by broadcasting, NaN where unknown.

    `a` and `b` are of shapes (..., F) that broadcast; the result is of shape (...).
    """
    shape = np.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    unlike, weight = np.zeros(shape), np.zeros(shape)
    comparable = np.zeros(shape, dtype=np.int64)
    for tag_weight, members in columns.tags():
        of_tag = tag_dissimilarity(a, b, columns, members)
        known = ~np.isnan(of_tag)
        unlike += np.where(known, tag_weight * of_tag, 0.0)
        weight += tag_weight * known
        comparable += known
    # The mean over what is known: missing values count neither for nor against.
    known = (comparable >= least_comparable) & (weight > 0)
    mean = np.divide(unlike, weight, out=np.full(shape, np.nan), where=known)
    return np.asarray(np.sqrt(np.clip(mean, 0.0, 1.0)))


def tag_dissimilarity(
    a: Floats, b: Floats, columns: Columns, members: Indices
) -> Floats:
    """Return 1 - s of one tag, the mean over its columns, NaN where not comparable.

    `a` and `b` are of shapes (..., F) that broadcast; the result is of shape (...).
    """
    parts = [_dissimilarity(a[..., f], b[..., f], columns, int(f)) for f in members]
    if len(parts) == 1:
        return parts[0]
    known = [~np.isnan(part) for part in parts]
    count = np.sum(known, axis=0)
    total = np.sum(
        [np.where(k, p, 0.0) for k, p in zip(known, parts, strict=True)], axis=0
    )
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return np.asarray(mean)


def _dissimilarity(a: Floats, b: Floats, columns: Columns, column: int) -> Floats:
    if not columns.categorical[column]:
        return _number_dissimilarity(a, b, float(columns.ranges[column]))
    table = columns.similarities.get(column)
    if table is not None:
        return _code_dissimilarity(a, b, table)
    missing = np.isnan(a) | np.isnan(b)
    return np.where(missing, np.nan, np.where(a == b, 0.0, 1.0))


def _number_dissimilarity(a: Floats, b: Floats, width: float) -> Floats:
    apart = np.abs(a - b)
    if width > 0:
        return np.minimum(apart / width, 1.0)
    return np.where(np.isnan(apart), np.nan, np.where(apart > 0, 1.0, 0.0))


def _code_dissimilarity(a: Floats, b: Floats, table: Floats) -> Floats:
    # Missing values refer to an additional row and column of NaN.
    padded = np.pad(1.0 - table, (0, 1), constant_values=np.nan)
    last = len(table)
    rows = np.where(np.isnan(a), last, a).astype(np.int64)
    others = np.where(np.isnan(b), last, b).astype(np.int64)
    return np.asarray(padded[rows, others])


def value_ranges(values: Floats, categorical: Mask, method: Ranges) -> Floats:
    """Return the range R of each column, of shape (F,), 1 for categorical ones.

    "minmax" is the paper's: maximum - minimum. "robust" leaves out 5 % of the distinct
    values at each end, so that one wrong ExposureTime of 51100 ms does not make all
    others similar; maximum - minimum where that leaves a range of 0.
    """
    columns = zip(values.T, categorical, strict=True)
    return np.array([1.0 if coded else _range(c, method) for c, coded in columns])


def _range(column: Floats, method: Ranges) -> float:
    distinct = np.unique(column[~np.isnan(column)])
    if len(distinct) == 0:
        return 0.0
    if method == "robust":
        low, high = np.quantile(distinct, (TAIL, 1 - TAIL), method="nearest")
        if high > low:
            return float(high - low)
    return float(distinct[-1] - distinct[0])


def distinct_rows(X: Floats) -> tuple[Floats, Indices, Indices]:
    """Return the distinct rows of X, NaN equal to NaN, and the row of each instance.

    X is of shape (N, F); returned are rows of shape (T, F), the row of each instance
    (N,), and how many instances have each row (T,). Time is O(N log N), memory O(N F).
    """
    # Rows are compared as bytes: NaN has many bit patterns and zero has two.
    canonical = np.where(np.isnan(X), np.nan, X + 0.0)
    width = X.shape[1] * X.itemsize
    as_bytes = np.ascontiguousarray(canonical).view(np.dtype((np.void, width)))
    _, first, inverse, counts = np.unique(
        as_bytes.ravel(), return_index=True, return_inverse=True, return_counts=True
    )
    return canonical[first], inverse.astype(np.int64), counts.astype(np.int64)
