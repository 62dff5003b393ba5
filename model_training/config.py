"""Everything that shapes a training run, hashed into the bundle's lineage."""

import hashlib
import json
from dataclasses import asdict, dataclass

from model_training.encoder import EMBEDDING, FILTERS


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """One training run.

    Attributes
    ----------
    size
        Side of the tiles in pixels, a multiple of two to the power of the stages.
    filters
        Of the encoder's stages, outermost first.
    embedding
        Length of the embedding.
    clusters
        Number K of cluster centres.
    epochs
        Most passes over the training part.
    batch
        Tiles per step.
    learning_rate
        Of Adam at the start; it falls to a twentieth along half a cosine.
    patience
        Passes without a better reconstruction of the held-out part before stopping.
    augment
        How far tiles are varied, 0 not at all, 1 as in `model_training.augment`.
    views
        Varied copies of each tile, besides itself, that the clusters are fitted on.
    seed
        Of everything random: the split, the weights, the order, the variations.
    """

    size: int = 64
    filters: tuple[int, ...] = FILTERS
    embedding: int = EMBEDDING
    clusters: int = 25
    epochs: int = 40
    batch: int = 50
    learning_rate: float = 1e-3
    patience: int = 6
    augment: float = 1.0
    views: int = 2
    seed: int = 1

    def digest(self) -> str:
        """Return a fingerprint: equal for equal configurations."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
