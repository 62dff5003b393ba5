"""Everything that shapes a training run, hashed into the bundle's lineage."""

import hashlib
import json
from dataclasses import asdict, dataclass

from model_training.network.encoder import EMBEDDING, FILTERS


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """One training run: first the encoder alone, then clusters and encoder together.

    Attributes
    ----------
    recipe
        Name of the recipe that it started from, see `model_training.runs.recipes` and
        `model_training.compare.methods.recipes`.
    size
        Side of the tiles in pixels, a multiple of two to the power of the stages.
    filters
        Of the encoder's stages, outermost first.
    embedding
        Length of the embedding.
    batch_norm
        Whether stages and embedding are normalized over the batch; folded away in the
        exported graph.
    residual
        Whether inner stages have a second convolution beside an identity.
    clusters
        Number K of cluster centers.
    epochs
        Most passes over the training part before there are clusters.
    cluster_epochs
        Most passes with clusters; 0 leaves them where k-means put them.
    batch
        Tiles per step.
    learning_rate
        Of Adam at the start; it falls to a twentieth along half a cosine.
    cluster_learning_rate
        The same for the passes with clusters.
    patience
        Passes without a better held-out loss before the first part stops.
    whiten
        Whether the embedding is turned into uncorrelated components of equal variance
        before k-means looks for the first centers.
    alpha, beta, gamma
        Weights of clustering, reconstruction and pairwise loss, eq. 10 of the paper.
    tags
        Weight of the loss of predicting the tags that each image carries.
    contrast
        Weight, before there are clusters, of telling each image from the others of its
        batch by another variation of itself; see `contrastive_loss`.
    pretrain_pairs
        Weight of the pairs before there are clusters; see `embedding_pair_loss`.
    balance
        Power to which rare values of a tag weigh more in that loss, 0 not at all.
    gamma_ramp
        Passes over which gamma rises from 0.
    margin
        Of the pairwise loss, eq. 14.
    degrees
        Of freedom of Student's t in the soft assignment, eq. 11; the paper has 1.
    constraints
        Pairs drawn, half of them must-links.
    careful_pairs
        Whether pairs need a known Modality and BodyPartExamined, are balanced, and
        count with all that follows from them; otherwise as in the paper.
    pairs
        Per step, half of them must-links.
    update_interval
        Passes after which the target distribution is made anew over the whole set.
    tol
        Share of changed assignments under which the passes with clusters end.
    augment
        How far tiles are varied, 0 not at all, 1 as in `model_training.network.augment`.
    restyle
        Share of tiles shown as other devices would show them; for images of devices
        that are not among those that train.
    views
        Varied copies of each tile, besides itself, that profiles are fitted on.
    precision
        `fp32`, or `bf16` for layers that calculate in bfloat16 while they are trained.
    compile
        Whether layers are compiled before training.
    half
        Whether the exported graph calculates in half precision, for GPUs.
    seed
        Of everything random: the split, the weights, the order, the variations.
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
        """Return a fingerprint: equal for equal configurations."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
