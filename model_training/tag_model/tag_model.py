"""The fitted model of tags: clusters, sources of each tag, novelty and numeric ranges."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from model_training.tag_model.cluster_model import ClusterModel
from model_training.tag_model.embedded_images import EmbeddedImages
from model_training.tag_model.fit_numeric_ranges import Ranges
from model_training.tag_model.novelty import (
    NoveltyModel,
    NoveltyScore,
    columns_of,
)
from model_training.tag_model.tag_pool import NeighborImages, TagSources
from model_training.tag_model.tag_predictor import TagPredictor
from veritag.judging.manifest_tables import has_learnt
from veritag.judging.tag_probabilities import Floats, contradiction_scores
from veritag.terms.concepts import fit

NOVELTY_TAGS = ("Modality", "BodyPartExamined")
"""Tags whose probabilities are nearly certain for images of a known kind."""


@dataclass(frozen=True)
class TagModel:
    """Everything but thresholds that verdicts on an image need.

    Attributes
    ----------
    predictor
        Made of the clusters, the neighbor images and the sources, on the CPU.
    novelty
        Its limit is 0 until calibration sets it.
    ranges
        Keyword of a numeric tag to the ends of the clusters' ranges.
    """

    clusters: ClusterModel
    neighbors: NeighborImages
    sources: Mapping[str, TagSources]
    predictor: TagPredictor
    novelty: NoveltyModel
    ranges: Ranges = field(default_factory=dict)

    @property
    def concepts(self) -> dict[str, tuple[str, ...]]:
        """The columns of `tag_probability`, tag after tag."""
        return {tag: one.concepts for tag, one in self.sources.items()}

    def probabilities(self, embedding: Floats) -> dict[str, Floats]:
        """Return keyword to the probability of each concept, of shape (N, V)."""
        return self.predictor.probabilities(embedding)

    def novelty_score(self) -> NoveltyScore:
        """Return the novelty as a module of the exported graph."""
        return NoveltyScore(self.novelty, columns_of(self.concepts, NOVELTY_TAGS))

    def raw_novelty(
        self, images: EmbeddedImages, probabilities: Mapping[str, Floats]
    ) -> Floats:
        """Return the raw novelty of images, of shape (N,).

        Parameters
        ----------
        probabilities
            Of the same images, from `probabilities`.
        """
        return self.novelty_score().measure(*self._features(images, probabilities))

    def novelty_signals(
        self, images: EmbeddedImages, probabilities: Mapping[str, Floats]
    ) -> Floats:
        """Return the logarithms of relative distance and of entropy, of shape (N, 2)."""
        features = self._features(images, probabilities)
        return self.novelty_score().measure_signals(*features)

    def _features(
        self, images: EmbeddedImages, probabilities: Mapping[str, Floats]
    ) -> tuple[Floats, Floats]:
        features = np.concatenate([images.embedding, images.statistics], axis=1)
        columns = [probabilities[tag] for tag in self.sources]
        return features, np.concatenate(columns, axis=1)

    def scores(
        self,
        probabilities: Mapping[str, Floats],
        tag: str,
        observed: NDArray[np.str_],
    ) -> Floats:
        """Return the probability that each value is wrong, NaN without an opinion, (N,).

        Parameters
        ----------
        probabilities
            Of the images, from `probabilities`.
        observed
            Received values as concepts, empty where there is none, of shape (N,).
        """
        if tag not in probabilities:
            return np.full(len(observed), np.nan)
        concepts = self.sources[tag].concepts
        # A value of which nothing was learnt cannot be called wrong.
        learnt = {v for v in np.unique(observed) if has_learnt(tag, str(v), concepts)}
        values = [value if value in learnt else None for value in observed.tolist()]
        return contradiction_scores(
            probabilities[tag], concepts, values, partial(fit, tag)
        )
