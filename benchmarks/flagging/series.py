"""Comparison on whole series: recall at one false alarm per 1,000 series.

A series is all unseen images of one patient, source and kind, at least five. Few
patients have so many images, so series are also composed of single images of one source
and kind. Composed images are less alike than slices, which favors every method.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.flagging.errors import contradicting
from benchmarks.flagging.images import TAGS, BenchmarkImages
from benchmarks.flagging.measures import Floats, Mask, ranking, recall_at, unit_weights
from benchmarks.flagging.methods import ProbabilityMethod
from benchmarks.flagging.models import OURS, Models
from benchmarks.flagging.veritag_method import flagged_tags
from model_training.tag_model.error_injection import wrong_values

MIN_IMAGES = 5
COMPOSED_IMAGES = 6
FALSE_ALARMS = 1 / 1000
WRONG_VALUES = 6
"""Number of wrong values of each tag that each series gets."""


@dataclass(frozen=True)
class Series:
    """Rows of the measured images of a real or composed series."""

    rows: tuple[int, ...]
    is_real: bool


def real_series(images: BenchmarkImages, among: Mask) -> list[Series]:
    """Return the series of one patient, source and kind."""
    keys = images.series
    return [
        Series(tuple(rows.tolist()), is_real=True)
        for key in np.unique(keys[among]).tolist()
        if len(rows := np.flatnonzero(among & (keys == key))) >= MIN_IMAGES
    ]


def composed_series(images: BenchmarkImages, among: Mask) -> list[Series]:
    """Return series composed of images of one source and kind, each used once."""
    groups: dict[tuple[str, str], list[int]] = {}
    for row in np.flatnonzero(among).tolist():
        sample = images.samples[row]
        groups.setdefault((sample.source, sample.kind), []).append(row)
    return [
        Series(tuple(rows[start : start + COMPOSED_IMAGES]), is_real=False)
        for rows in groups.values()
        for start in range(0, len(rows) - COMPOSED_IMAGES + 1, COMPOSED_IMAGES)
    ]


def run_series(images: BenchmarkImages, models: Models) -> dict[str, Any]:
    """Return the measures of real and composed series, ready for JSON."""
    real = real_series(images, images.unseen)
    used = {row for series in real for row in series.rows}
    single = np.array([row not in used for row in range(len(images.measured))])
    composed = composed_series(images, images.unseen & single)
    groups = {
        "real": real,
        "composed": composed,
        "new stations": real_series(images, ~images.unseen),
    }
    return {
        name: {tag: _figures(tag, series, images, models) for tag in TAGS}
        for name, series in groups.items()
        if series
    }


def _figures(
    tag: str, series: Sequence[Series], images: BenchmarkImages, models: Models
) -> dict[str, Any]:
    right, others = _values(tag, series, images)
    result: dict[str, Any] = {"series": int((right != "").sum()), "methods": {}}
    scores: dict[str, Callable[[NDArray[np.str_]], tuple[Floats, Mask]]] = {
        OURS: lambda values: _ours(tag, series, values, images, models),
        "supervised CNN, mean": lambda values: _mean(
            models.supervised, tag, series, values
        ),
    }
    for name, score in scores.items():
        pairs = [score(right), *(score(values) for values in others)]
        result["methods"][name] = _recall(pairs, [right, *others])
    return result


def _recall(
    pairs: Sequence[tuple[Floats, Mask]], values: Sequence[NDArray[np.str_]]
) -> dict[str, Any]:
    """Return recall and false alarms; the first pair belongs to the right values."""
    present = [v != "" for v in values]
    score = np.concatenate([p[0][c] for p, c in zip(pairs, present, strict=True)])
    flagged = np.concatenate([p[1][c] for p, c in zip(pairs, present, strict=True)])
    n_right = int(present[0].sum())
    wrong = np.arange(len(score)) >= n_right
    ranked = ranking(score, wrong, unit_weights(len(score)))
    return {
        "wrong": int(wrong.sum()),
        "recall_at_1_per_1000": _rounded(recall_at(ranked, FALSE_ALARMS)[0]),
        "flagged_right": int(flagged[~wrong].sum()),
        "flagged_wrong": int(flagged[wrong].sum()),
        # Upper limit of the false alarm rate at 95 % confidence, if there was none.
        "rarer_than": _rounded(1 - 0.05 ** (1 / max(n_right, 1))),
    }


def _values(
    tag: str, series: Sequence[Series], images: BenchmarkImages
) -> tuple[NDArray[np.str_], list[NDArray[np.str_]]]:
    """Return the right value of each series, and wrong values of several rounds."""
    column, vocabulary = images.right(tag), set(images.vocabulary(tag))
    right = np.array([column[one.rows[0]] for one in series], dtype="U64")
    rng = np.random.default_rng(1)
    slips = [wrong_values(tag, right, rng) for _ in range(WRONG_VALUES // 2)]
    uniform = [
        np.array([_any_other(tag, v, vocabulary, rng) for v in right.tolist()])
        for _ in range(WRONG_VALUES - len(slips))
    ]
    return right, [*slips, *uniform]


def _any_other(
    tag: str, value: str, vocabulary: set[str], rng: np.random.Generator
) -> str:
    others = contradicting(tag, value, sorted(vocabulary)) if value else ()
    return str(rng.choice(others)) if others else ""


def _ours(
    tag: str,
    series: Sequence[Series],
    values: NDArray[np.str_],
    images: BenchmarkImages,
    models: Models,
) -> tuple[Floats, Mask]:
    right = {t: images.right(t) for t in TAGS}
    scores, flags = np.zeros(len(series)), np.zeros(len(series), dtype=bool)
    for number, (one, value) in enumerate(zip(series, values.tolist(), strict=True)):
        received = {t: str(right[t][one.rows[0]]) for t in TAGS} | {tag: value}
        judged = models.inspector.judge(one.rows, received)
        probabilities = {j.tag: j.probability_wrong for j in judged.judgements}
        scores[number] = probabilities.get(tag) or 0.0
        flags[number] = tag in flagged_tags(judged)
    return scores, flags


def _mean(
    method: ProbabilityMethod,
    tag: str,
    series: Sequence[Series],
    values: NDArray[np.str_],
) -> tuple[Floats, Mask]:
    """Return the mean score of each series by the variant with fit of a method."""
    n = len(method.probability[tag])
    scores = np.zeros(len(series))
    for number, (one, value) in enumerate(zip(series, values.tolist(), strict=True)):
        outputs = method({tag: np.full(n, value, dtype="U64")})[tag]
        scores[number] = outputs["1 - p, with fit"].score[list(one.rows)].mean()
    return scores, scores >= 0.5


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
