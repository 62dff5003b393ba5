"""Wrong values for right ones, as hands, protocols and scanners bring them about.

Each kind of error makes about the asked share of a tag's values wrong:

- `uniform`: single images, any other value of the tag that contradicts the right one;
- `realistic`: half of it slips on single images (confusions such as CHEST for ABDOMEN),
  half a protocol of another patient kept for all images of one;
- `stations`: every image of a scanner carries the same value;
- `overlapping`: as uniform, but values that merely overlap (HAND for WRIST) are among
  the wrong ones.
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
KINDS = ("uniform", "realistic", "stations", "overlapping")
WIDE = "U64"
"""As long as values may be: a shorter array would cut them off."""
TOO_MANY = 2.0
"""Times the asked number of errors over which a station is not taken."""


@dataclass(frozen=True)
class Truth:
    """What is right of n images, as far as errors depend on it.

    Attributes
    ----------
    values
        Of the tag, empty where an image carries none.
    like
        What a copied protocol has in common with the right one, such as the Modality.
    series, station
        Keys of what gets the same value at once.
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
    """Return the received values and which of them are wrong, both of shape (n,).

    Raises
    ------
    KeyError
        If there is no such kind of error.
    """
    wanted = round(rate * int((truth.values != "").sum()))
    wrong = _WAYS[kind](truth, wanted, rng)
    return np.where(wrong != "", wrong, truth.values), wrong != ""


def contradicting(
    tag: str, value: str, vocabulary: Sequence[str], *, or_overlapping: bool = False
) -> tuple[str, ...]:
    """Return the values that no picture of the right one can carry."""
    wanted = {Relation.DISJOINT, *([Relation.OVERLAPS] if or_overlapping else [])}
    return tuple(v for v in vocabulary if relation(tag, v, value) in wanted)


def _uniform(truth: Truth, wanted: int, rng: np.random.Generator) -> Strings:
    return _drawn(truth, wanted, rng)


def _overlapping(truth: Truth, wanted: int, rng: np.random.Generator) -> Strings:
    return _drawn(truth, wanted, rng, or_overlapping=True)


def _drawn(
    truth: Truth,
    wanted: int,
    rng: np.random.Generator,
    *,
    or_overlapping: bool = False,
) -> Strings:
    wrong = _none(truth)
    for row in _carriers(truth, rng)[:wanted]:
        others = contradicting(
            truth.tag,
            str(truth.values[row]),
            truth.vocabulary,
            or_overlapping=or_overlapping,
        )
        if others:
            wrong[row] = rng.choice(others)
    return wrong


def _realistic(truth: Truth, wanted: int, rng: np.random.Generator) -> Strings:
    wrong = _none(truth)
    kept = _carriers(truth, rng)
    slips = kept[: wanted - wanted // 2]
    wrong[slips] = wrong_values(truth.tag, truth.values, rng)[slips]
    for rows in _groups(truth.series, rng):
        free = rows[wrong[rows] == ""]
        if len(free) and (wrong != "").sum() + len(free) <= wanted:
            wrong[free] = _reused(truth, free, rng)
    return wrong


def _reused(truth: Truth, rows: NDArray[np.intp], rng: np.random.Generator) -> Strings:
    """Return for all images of a series the value of one that is much like it."""
    value, like = str(truth.values[rows[0]]), truth.like[rows[0]]
    alike = truth.values[(truth.like == like) & (truth.values != "")]
    contradicted = set(contradicting(truth.tag, value, truth.vocabulary))
    others = [v for v in alike.tolist() if v in contradicted]
    if not (others and value):
        return np.full(len(rows), "", dtype=WIDE)
    return _where_contradicted(truth, rows, str(rng.choice(others)))


def _stations(truth: Truth, wanted: int, rng: np.random.Generator) -> Strings:
    wrong = _none(truth)
    carried = truth.values[truth.values != ""]
    for rows in _groups(truth.station, rng):
        written = _where_contradicted(truth, rows, str(rng.choice(carried)))
        so_far = int((wrong != "").sum())
        if so_far < wanted and so_far + (written != "").sum() <= TOO_MANY * wanted:
            wrong[rows] = written
    return wrong


def _where_contradicted(truth: Truth, rows: NDArray[np.intp], value: str) -> Strings:
    """Return the value where the images' own contradict it, else empty."""
    own: Sequence[str] = truth.values[rows].tolist()
    return np.array(
        [value if v and contradicting(truth.tag, v, [value]) else "" for v in own],
        dtype=WIDE,
    )


def _groups(keys: Strings, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Yield the rows of each key, the keys in random order."""
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


_WAYS = {
    "uniform": _uniform,
    "realistic": _realistic,
    "stations": _stations,
    "overlapping": _overlapping,
}
