"""All that a run has learnt of tags: clusters, what is read off a picture, and weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from model_training.calibration.cluster_model import ClusterModel
from model_training.calibration.fit_tag_pool import (
    choose_references,
    tag_sources,
    with_weights,
)
from model_training.calibration.images import EmbeddedImages
from model_training.calibration.novelty import (
    Familiarity,
    NoveltyScore,
    columns_of,
    fit_familiarity,
)
from model_training.calibration.numeric_tags import Ranges, fit_ranges
from model_training.calibration.tag_pool import PictureReader, References, TagSources
from model_training.training.trained import Trained
from veritag.judging.manifest_tables import has_learnt
from veritag.judging.tag_probabilities import Floats, contradiction_scores
from veritag.terms.concepts import fit


@dataclass(frozen=True)
class TagModel:
    """What pictures are judged by.

    Attributes
    ----------
    reader
        Of the clusters, the references and the sources, on the CPU.
    familiarity
        How novel a kind is; its limit is for calibration to set.
    ranges
        Keyword of a numeric tag to the ends of the clusters' ranges.
    """

    clusters: ClusterModel
    references: References
    sources: Mapping[str, TagSources]
    reader: PictureReader
    familiarity: Familiarity
    ranges: Ranges = field(default_factory=dict)

    @property
    def concepts(self) -> dict[str, tuple[str, ...]]:
        """The columns of `tag_probability`, tag after tag."""
        return {tag: one.concepts for tag, one in self.sources.items()}

    def novelty_score(self) -> NoveltyScore:
        """Return what measures novelty, as a part of the graph."""
        return NoveltyScore(self.familiarity, columns_of(self.concepts, DECIDED))

    def novelty(
        self, embedding: Floats, statistics: Floats, read: Mapping[str, Floats]
    ) -> Floats:
        """Return the strangeness, which has a limit up to which kinds are known, (N,).

        Parameters
        ----------
        embedding, statistics
            Of shape (N, D) and (N, S).
        read
            What `read` said of the images.
        """
        told = self._features(embedding, statistics, read)
        return self.novelty_score().measure(*told)

    def signs(
        self, embedding: Floats, statistics: Floats, read: Mapping[str, Floats]
    ) -> Floats:
        """Return relative distance and entropy as logarithms, of shape (N, 2)."""
        told = self._features(embedding, statistics, read)
        return self.novelty_score().measure_signs(*told)

    def _features(
        self, embedding: Floats, statistics: Floats, read: Mapping[str, Floats]
    ) -> tuple[Floats, Floats]:
        features = np.concatenate([embedding, statistics], axis=1)
        return features, np.concatenate([read[tag] for tag in self.sources], axis=1)

    def read(self, embedding: Floats) -> dict[str, Floats]:
        """Return keyword to the probability of each concept, of shape (N, V)."""
        return self.reader.read(embedding)

    def scores(
        self, read: Mapping[str, Floats], tag: str, observed: NDArray[np.str_]
    ) -> Floats:
        """Return how strongly each image contradicts a value, NaN without an opinion.

        Parameters
        ----------
        read
            What `read` said of the images.
        observed
            Received values as concepts, empty where there is none, of shape (N,).
        """
        if tag not in read:
            return np.full(len(observed), np.nan)
        concepts = self.sources[tag].concepts
        # A value of which nothing was learnt cannot be called wrong.
        learnt = {v for v in np.unique(observed) if has_learnt(tag, str(v), concepts)}
        values = [value if value in learnt else None for value in observed.tolist()]
        return contradiction_scores(read[tag], concepts, values, partial(fit, tag))


DECIDED = ("Modality", "BodyPartExamined")
"""Tags of which a picture of a known kind leaves little doubt."""
LEAST_SPREAD = 0.05
"""Of a sign over held-out images; few and alike ones would blow up rounding."""


def fit_tag_model(
    trained: Trained,
    clusters: ClusterModel,
    training: EmbeddedImages,
    kinds: NDArray[np.str_],
    held: EmbeddedImages,
    nothing: EmbeddedImages,
) -> TagModel:
    """Fit references, sources and their weights, and what is familiar.

    Parameters
    ----------
    kinds
        Of the training part, of shape (N,).
    held
        EmbeddedImages to learn the weights on.
    nothing
        Pictures of nothing.
    """
    references = choose_references(training.embedding, kinds, trained.config.seed)
    sources = tag_sources(trained, clusters, references, training.values)
    reader = _reader(clusters, references, sources)
    sources = with_weights(reader, sources, held.embedding, held.values)
    reader = _reader(clusters, references, sources)
    familiarity = fit_familiarity(
        training.embedding,
        training.statistics,
        references.rows,
        kinds,
        np.concatenate([nothing.embedding, nothing.statistics], axis=1),
    )
    bare = TagModel(clusters, references, sources, reader, familiarity)
    seen = held if len(held.embedding) else training
    signs = bare.signs(seen.embedding, seen.statistics, bare.read(seen.embedding))
    center, spread = signs.mean(axis=0), np.maximum(signs.std(axis=0), LEAST_SPREAD)
    familiarity = replace(
        familiarity, centers=tuple(center.tolist()), spreads=tuple(spread.tolist())
    )
    ranges = fit_ranges(clusters.weights(training.embedding), training.numbers)
    return replace(bare, familiarity=familiarity, ranges=ranges)


def _reader(
    clusters: ClusterModel, references: References, sources: Mapping[str, TagSources]
) -> PictureReader:
    return PictureReader(
        clusters.centers, clusters.degrees, clusters.sharpness, references, sources
    )
