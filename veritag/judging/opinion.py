"""An opinion of the bundle on one tag that a series carries."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from veritag.findings import Finding, Judgement
from veritag.judging.observed_tags import ObservedTag
from veritag.judging.series_picture import SeriesPicture
from veritag.judging.tag_scores import TagScores


@dataclass(frozen=True)
class Opinion(ABC):
    """How probably one received value of a series is wrong.

    Attributes
    ----------
    scores
        One row, that of the series.
    """

    observed: ObservedTag
    picture: SeriesPicture
    scores: TagScores

    @property
    def score(self) -> float:
        """The probability that the value is wrong, before calibration."""
        return float(self.scores.score[0])

    @property
    def probability(self) -> float:
        """The calibrated probability that the value is wrong."""
        return float(self.scores.probability[0])

    @property
    def flagged(self) -> bool:
        """Whether the score reaches the threshold."""
        return bool(self.scores.flagged[0])

    @property
    def shows(self) -> str | None:
        """The concept that the pictures show, None where there are no concepts."""
        return None

    def judgement(self) -> Judgement:
        """Return the judgement of the tag, flagged or not."""
        return Judgement(
            self.observed.tag,
            self.observed.text,
            self.probability,
            shows=self.shows,
            score=round(self.score, 6),
            flagged=self.flagged,
        )

    @abstractmethod
    def finding(self) -> Finding:
        """Return the finding that the pictures contradict the tag."""
