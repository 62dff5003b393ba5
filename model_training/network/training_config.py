"""Configuration of a training run, whose digest is in the bundle's lineage."""

import hashlib
import json
from dataclasses import asdict, dataclass

from model_training.network.encoder import EMBEDDING, FILTERS


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Configuration of a run: the encoder alone first, then encoder and clusters.

    Attributes
    ----------
    recipe
        Name of the recipe that it started from, see `model_training.runs.recipes` and
        `model_training.compare.methods.recipes`.
    size
        Side of the tiles in pixels, a multiple of 2 ** len(filters).
    filters
        Channels of the encoder's stages, outermost first.
    embedding
        Length of the embedding.
    batch_norm
        Whether stages and embedding are normalized over the batch; folded away in the
        exported graph.
    residual
        Whether inner stages have a residual convolution.
    clusters
        Number K of cluster centers.
    epochs
        Most passes over the training part of the encoder alone.
    cluster_epochs
        Most passes with clusters; 0 leaves them where k-means put them.
    batch
        Tiles per step.
    learning_rate
        Initial rate of Adam; it falls to a twentieth along half a cosine.
    cluster_learning_rate
        The same for the passes with clusters.
    patience
        Most passes in a row without a better held-out loss; one more ends the
        encoder's part.
    whiten
        Whether the embedding is whitened, to uncorrelated components of equal variance,
        before k-means places the first centers.
    alpha, beta, gamma
        Weights of clustering, reconstruction and pairwise loss, eq. 15 of the paper.
    tags
        Weight of the cross-entropy of the tags that each image has.
    contrast
        Weight of `contrastive_loss`, before there are clusters: each image is to be
        recognized in its batch by another augmented copy.
    pretrain_pairs
        Weight of the pairs before there are clusters; see `embedding_pair_loss`.
    balance
        Power by which rare values of a tag weigh more in the loss `tags`; 0: not.
    gamma_ramp
        Passes over which gamma rises from 0.
    margin
        Margin of the pairwise loss, eq. 14.
    degrees
        Degrees of freedom of Student's t in eq. 11, the soft assignment; 1 in the
        paper.
    constraints
        Pairs drawn, half of them must-links.
    careful_pairs
        Whether pairs need a known Modality and BodyPartExamined, are balanced, and are
        used with their transitive closure; otherwise as in the paper.
    pairs
        Pairs per step, half of them must-links.
    update_interval
        Passes between updates of the target distribution p, eq. 12.
    tol
        Share of changed assignments under which the passes with clusters end.
    augment
        Strength of the augmentation of tiles, see `model_training.network.augment`.
    restyle
        Share of tiles shown as other devices would show them, for a bundle that is to
        judge images of unknown devices.
    views
        Augmented copies of each tile on which profiles are fitted, besides the tile.
    precision
        `fp32`, or `bf16` for layers that calculate in bfloat16 during training.
    compile
        Whether layers are compiled before training.
    half
        Whether the exported graph calculates in half precision, for GPUs.
    seed
        Seed of the split, the weights, the order, the pairs and the augmentation.
    """

    recipe: str = "veritag"
    size: int = 64
    filters: tuple[int, ...] = FILTERS
    embedding: int = EMBEDDING
    batch_norm: bool = True
    residual: bool = False
    clusters: int = 25
    epochs: int = 12
    cluster_epochs: int = 4
    batch: int = 64
    learning_rate: float = 2e-3
    cluster_learning_rate: float = 3e-4
    patience: int = 6
    whiten: bool = False
    alpha: float = 0.1
    beta: float = 0.0
    gamma: float = 1.0
    tags: float = 1.0
    contrast: float = 0.0
    pretrain_pairs: float = 0.0
    balance: float = 0.5
    gamma_ramp: int = 2
    margin: float = 1.0
    degrees: float = 1.0
    constraints: int = 2000
    careful_pairs: bool = True
    pairs: int = 32
    update_interval: int = 1
    tol: float = 1e-3
    augment: float = 1.0
    restyle: float = 0.0
    views: int = 2
    precision: str = "fp32"
    compile: bool = False
    half: bool = False
    seed: int = 1

    def digest(self) -> str:
        """Return a fingerprint, equal for equal configurations."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
