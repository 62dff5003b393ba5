"""Comparison of two bundles on the same images, with the noise of the differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from model_training.calibration.calibrate import LEAST_PRECISION, MOST_FALSE_ALARMS
from model_training.evaluation.evaluation import (
    Evaluation,
    Figures,
    figures_of,
    judged,
    judged_tags,
    rounded,
)
from veritag.judging.tag_probabilities import Floats


class FigureChange(StrEnum):
    """How a figure of the challenger differs from the champion's."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    UNKNOWN = "not comparable"


@dataclass(frozen=True, slots=True)
class ComparedFigure:
    """One figure that the gate compares.

    Attributes
    ----------
    sign
        1 where a larger value is better, -1 where a smaller one is.
    fine
        A value that is good enough: a challenger that reaches it is never worse, and
        better only than a champion that does not.
    least
        Smallest difference that matters.
    outweighed_by
        A figure that outweighs this one if it is better. A challenger that knows fewer
        kinds but finds more wrong tags is not worse; neither is one that finds fewer
        wrong tags than a champion with many false alarms.
    """

    label: str
    sign: int
    fine: float | None = None
    least: float = 0.005
    outweighed_by: str | None = None


FIGURES: Mapping[str, ComparedFigure] = {
    "nmi_modality": ComparedFigure("NMI of clusters and modality", 1),
    "homogeneity_modality": ComparedFigure("homogeneity of clusters in modality", 1),
    "nmi_region": ComparedFigure("NMI of clusters and body part", 1),
    "homogeneity_region": ComparedFigure("homogeneity of clusters in body part", 1),
    "recall": ComparedFigure(
        "share of wrong tags that are found", 1, outweighed_by="false_alarm_rate"
    ),
    "precision": ComparedFigure(
        "share of flags that are right", 1, fine=LEAST_PRECISION
    ),
    "false_alarm_rate": ComparedFigure(
        "share of right tags that are flagged", -1, fine=MOST_FALSE_ALARMS
    ),
    "brier": ComparedFigure("squared error of the probabilities", -1, least=0.002),
    "unknown": ComparedFigure(
        "share of images of unknown kind", -1, least=0.01, outweighed_by="recall"
    ),
    "review_agreement": ComparedFigure(
        "agreement with what reviewers decided", 1, least=0.01
    ),
}


@dataclass(frozen=True, slots=True)
class Noise:
    """Parameters of the bootstrap that measures the noise of a difference.

    Attributes
    ----------
    resamples
        Number of draws of patients, with replacement.
    tail
        Probability left out on each side of the interval.
    """

    resamples: int = 300
    tail: float = 0.01
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of both bundles.

    Attributes
    ----------
    champion, challenger
        Its values; None where undefined.
    low, high
        Interval of challenger - champion under resampling; None without one.
    """

    name: str
    champion: float | None
    challenger: float | None
    low: float | None
    high: float | None
    verdict: FigureChange


def compare(
    challenger: Evaluation, champion: Evaluation, noise: Noise
) -> list[Comparison]:
    """Return every figure of both bundles with the interval of its difference."""
    judged_by_both = {
        tag: judged(challenger.predictions, tag) & judged(champion.predictions, tag)
        for tag in challenger.questions.tags
    }

    tags = judged_tags(challenger.predictions) | judged_tags(champion.predictions)

    def pair(weights: Floats | None) -> tuple[Figures, Figures]:
        questions = challenger.questions
        return (
            figures_of(champion.predictions, questions, weights, judged_by_both, tags),
            figures_of(
                challenger.predictions, questions, weights, judged_by_both, tags
            ),
        )

    old, new = pair(None)
    # Both bundles on the same draws: paired differences have less noise.
    drawn = [pair(weights) for weights in _resamples(challenger, noise)]
    comparisons = [_comparison(name, old, new, drawn, noise) for name in FIGURES]
    better = {c.name for c in comparisons if c.verdict == FigureChange.BETTER}
    return [
        replace(c, verdict=FigureChange.SAME)
        if c.verdict == FigureChange.WORSE and FIGURES[c.name].outweighed_by in better
        else c
        for c in comparisons
    ]


def _resamples(evaluation: Evaluation, noise: Noise) -> list[Floats]:
    """Return how often each image counts in each draw of patients, of shape (N,)."""
    rng = np.random.default_rng(noise.seed)
    n = evaluation.patients
    draws = rng.multinomial(n, np.full(n, 1 / n), size=noise.resamples)
    patient: NDArray[np.intp] = evaluation.questions.patient
    return [times[patient].astype(np.float64) for times in draws]


def _comparison(
    name: str,
    old: Figures,
    new: Figures,
    drawn: Sequence[tuple[Figures, Figures]],
    noise: Noise,
) -> Comparison:
    differences = [
        b - a for one, two in drawn if (a := one[name]) is not None
        and (b := two[name]) is not None
    ]  # fmt: skip
    low = high = None
    # A figure that most draws leave undefined has no measurable noise.
    if 2 * len(differences) > len(drawn):
        tails = np.quantile(differences, [noise.tail, 1 - noise.tail])
        low, high = (round(float(tail), 4) for tail in tails)
    a, b = rounded(old)[name], rounded(new)[name]
    verdict = _verdict(FIGURES[name], a, b, low, high)
    return Comparison(name, a, b, low, high, verdict)


def _verdict(
    figure: ComparedFigure,
    old: float | None,
    new: float | None,
    low: float | None,
    high: float | None,
) -> FigureChange:
    """Return how a figure changed, given the interval of the difference new - old."""
    if old is None or new is None or low is None or high is None:
        return _verdict_without_interval(figure, old, new)
    least_gain, most_gain = sorted((figure.sign * low, figure.sign * high))
    gain = figure.sign * (new - old)
    # Both must hold: a difference beyond the noise, and one large enough to matter.
    if most_gain < 0 and gain <= -figure.least and not _is_fine(figure, new):
        return FigureChange.WORSE
    if least_gain > 0 and gain >= figure.least and not _is_fine(figure, old):
        return FigureChange.BETTER
    return FigureChange.SAME


def _verdict_without_interval(
    figure: ComparedFigure, old: float | None, new: float | None
) -> FigureChange:
    # A champion without any flag has no precision; the challenger's must then be fine.
    is_first = old is None and new is not None and figure.fine is not None
    if is_first and not _is_fine(figure, new):
        return FigureChange.WORSE
    return FigureChange.UNKNOWN


def _is_fine(figure: ComparedFigure, value: float | None) -> bool:
    """Tell whether a value is good enough; no value is where the figure has no `fine`."""
    if figure.fine is None or value is None:
        return False
    return figure.sign * (value - figure.fine) >= 0


def sentence(c: Comparison) -> str:
    """Return the comparison of a figure as a sentence."""
    label = FIGURES[c.name].label
    if c.champion is None or c.challenger is None:
        return f"{label} is only {_number(c.challenger)}, and unknown of the champion"
    return (
        f"{label} is {c.verdict}: {_number(c.champion)} became "
        f"{_number(c.challenger)} (difference {c.low:+.3f} to {c.high:+.3f})"
    )


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
