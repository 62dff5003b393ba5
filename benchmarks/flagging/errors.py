"""Injection of wrong tag values, in the manner of people, protocols and scanners.

Each kind of error makes about the requested share of a tag's values wrong:

- `uniform`: single images get any value of the tag that contradicts the right one;
- `realistic`: half are confusions on single images (CHEST for ABDOMEN), half are whole
  series with the value of another patient's protocol;
- `stations`: all images of a scanner get one value;
- `overlapping`: as uniform, but values that only overlap (HAND for WRIST) count as
  wrong too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.flagging.measures import Mask
from model_training.tag_model.error_injection import wrong_values
from veritag.terms.concepts import Relation, relation

Strings = NDArray[np.str_]
ERROR_KINDS = ("uniform", "realistic", "stations", "overlapping")
WIDE = "U64"
"""Type of the longest values: numpy cuts off longer ones."""
TOO_MANY = 2.0
"""Factor of the requested errors above which a station is not chosen."""


@dataclass(frozen=True)
class Truth:
    """Right values of n images, and what the errors depend on.

    Attributes
    ----------
    values
        Right values of the tag, empty where an image has none.
    like
        What a reused protocol has in common with the right one, such as the Modality.
    series, station
        Keys of images that get a wrong value together.
    vocabulary
        Values of the tag that occur at the site.
    """

    tag: str
    values: Strings
    like: Strings
    series: Strings
    station: Strings
    vocabulary: tuple[str, ...]


def inject(
    kind: str, truth: Truth, rate: float, rng: np.random.Generator
) -> tuple[Strings, Mask]:
    """Return the received values and the mask of wrong ones, both of shape (n,).

    Raises
    ------
    KeyError
        If the kind of error is unknown.
    """
    count = round(rate * int((truth.values != "").sum()))
    wrong = _INJECTORS[kind](truth, count, rng)
    return np.where(wrong != "", wrong, truth.values), wrong != ""


def contradicting(
    tag: str, value: str, vocabulary: Sequence[str], *, or_overlapping: bool = False
) -> tuple[str, ...]:
    """Return the values that are impossible for a picture with the right value."""
    relations = {Relation.DISJOINT, *([Relation.OVERLAPS] if or_overlapping else [])}
    return tuple(v for v in vocabulary if relation(tag, v, value) in relations)


def _uniform(truth: Truth, count: int, rng: np.random.Generator) -> Strings:
    return _drawn(truth, count, rng)


def _overlapping(truth: Truth, count: int, rng: np.random.Generator) -> Strings:
    return _drawn(truth, count, rng, or_overlapping=True)


def _drawn(
    truth: Truth,
    count: int,
    rng: np.random.Generator,
    *,
    or_overlapping: bool = False,
) -> Strings:
    wrong = _none(truth)
    for row in _carriers(truth, rng)[:count]:
        others = contradicting(
            truth.tag,
            str(truth.values[row]),
            truth.vocabulary,
            or_overlapping=or_overlapping,
        )
        if others:
            wrong[row] = rng.choice(others)
    return wrong


def _realistic(truth: Truth, count: int, rng: np.random.Generator) -> Strings:
    wrong = _none(truth)
    slips = _carriers(truth, rng)[: count - count // 2]
    wrong[slips] = wrong_values(truth.tag, truth.values, rng)[slips]
    for rows in _groups(truth.series, rng):
        free = rows[wrong[rows] == ""]
        if len(free) and (wrong != "").sum() + len(free) <= count:
            wrong[free] = _reused(truth, free, rng)
    return wrong


def _reused(truth: Truth, rows: NDArray[np.intp], rng: np.random.Generator) -> Strings:
    """Return for a whole series the value of a similar image of another patient."""
    value, like = str(truth.values[rows[0]]), truth.like[rows[0]]
    similar = truth.values[(truth.like == like) & (truth.values != "")]
    contradicted = set(contradicting(truth.tag, value, truth.vocabulary))
    others = [v for v in similar.tolist() if v in contradicted]
    if not (others and value):
        return np.full(len(rows), "", dtype=WIDE)
    return _where_contradicted(truth, rows, str(rng.choice(others)))


def _stations(truth: Truth, count: int, rng: np.random.Generator) -> Strings:
    wrong = _none(truth)
    present = truth.values[truth.values != ""]
    for rows in _groups(truth.station, rng):
        values = _where_contradicted(truth, rows, str(rng.choice(present)))
        so_far = int((wrong != "").sum())
        if so_far < count and so_far + (values != "").sum() <= TOO_MANY * count:
            wrong[rows] = values
    return wrong


def _where_contradicted(truth: Truth, rows: NDArray[np.intp], value: str) -> Strings:
    """Return the value where it contradicts the right one, else an empty text."""
    right: Sequence[str] = truth.values[rows].tolist()
    return np.array(
        [value if v and contradicting(truth.tag, v, [value]) else "" for v in right],
        dtype=WIDE,
    )


def _groups(keys: Strings, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Yield the rows of each key, in random order of the keys."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.append(True, keys[order][1:] != keys[order][:-1]))
    spans = list(pairwise([*starts.tolist(), len(keys)]))
    for index in rng.permutation(len(spans)):
        start, end = spans[index]
        yield order[start:end]


def _carriers(truth: Truth, rng: np.random.Generator) -> NDArray[np.intp]:
    return rng.permutation(np.flatnonzero(truth.values != ""))


def _none(truth: Truth) -> Strings:
    return np.full(len(truth.values), "", dtype=WIDE)


_INJECTORS = {
    "uniform": _uniform,
    "realistic": _realistic,
    "stations": _stations,
    "overlapping": _overlapping,
}
