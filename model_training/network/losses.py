"""The terms of the semi-supervised objective, one small function each.

Equations are those of Manojlovic and Stajduhar (2021); N images, K clusters.
Probabilities are given as logarithms, so that no step takes log(0).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_LOG = math.log(1e-8)
"""Lower bound of logarithms of probabilities, which keeps divergences finite."""
SMOOTHING = 0.05
"""Label smoothing, because some received tags are wrong."""


def reconstruction_loss(reconstruction: Tensor, tiles: Tensor) -> Tensor:
    """Return eq. 13 as a mean over all pixels of all tiles, not as a sum."""
    return F.mse_loss(reconstruction, tiles)


def squared_distances(embedding: Tensor, cluster_centers: Tensor) -> Tensor:
    """Return squared Euclidean distances of (N, D) and (K, D), of shape (N, K)."""
    # Differences first: |a|^2 - 2ab + |b|^2 would lose the small distances.
    return (embedding.unsqueeze(1) - cluster_centers).square().sum(2)


def log_soft_assignment(
    embedding: Tensor, cluster_centers: Tensor, degrees: float = 1.0
) -> Tensor:
    """Return log q of eq. 11, of shape (N, K).

    `model_training.network.clustering.soft_assignment` is the same for arrays.

    Parameters
    ----------
    embedding, cluster_centers
        Of shape (N, D) and (K, D).
    degrees
        Degrees of freedom of Student's t. With 1, squared distances of 1 and 4 have
        kernels of 1/2 and 1/5; with more degrees distant centers count less.
    """
    return log_student_t(squared_distances(embedding, cluster_centers), degrees)


def log_student_t(squared: Tensor, degrees: float = 1.0) -> Tensor:
    """Return log q of eq. 11 from squared distances to the centers (N, K)."""
    # log1p keeps small distances, which 1 + d / degrees would round away.
    kernel = torch.log1p(squared / degrees) * (-(degrees + 1) / 2)
    return F.log_softmax(kernel, dim=1)


def clustering_loss(target: Tensor, log_q: Tensor) -> Tensor:
    """Return KL(P || Q) of eq. 10 as a mean over images; both of shape (N, K)."""
    return F.kl_div(log_q.clamp(min=LEAST_LOG), target, reduction="batchmean")


def divergence(log_q: Tensor, log_r: Tensor) -> Tensor:
    """Return KL(q || r) of each row, of shape (N,)."""
    q, r = log_q.clamp(min=LEAST_LOG), log_r.clamp(min=LEAST_LOG)
    # KL is never negative; rounding and clamped logarithms can make it slightly so.
    return (log_q.exp() * (q - r)).sum(1).clamp(min=0)


def pairwise_loss(
    log_q_i: Tensor, log_q_j: Tensor, is_must_link: Tensor, margin: float = 1.0
) -> Tensor:
    """Return eq. 14 as a mean over pairs.

    A must-link costs KL(q_j || q_i), a cannot-link max(0, margin - KL(q_j || q_i)).

    Parameters
    ----------
    log_q_i, log_q_j
        Log soft assignments of the two images of each pair, of shape (M, K).
    is_must_link
        True for must-links, False for cannot-links, of shape (M,).
    """
    apart = divergence(log_q_j, log_q_i)
    # Beyond the margin a cannot-link has no gradient: KL has no upper bound.
    return torch.where(is_must_link, apart, F.relu(margin - apart)).mean()


def contrastive_loss(first: Tensor, second: Tensor, temperature: float = 0.2) -> Tensor:
    """Return the cross-entropy of recognizing each image in the batch by cosine.

    NT-Xent without negatives of the same view (Chen et al. 2020, eq. 1).

    Parameters
    ----------
    first, second
        Embeddings of two augmented copies of the same images, of shape (N, D).
    """
    cosines = F.normalize(first, dim=1) @ F.normalize(second, dim=1).T
    return F.cross_entropy(
        cosines / temperature, torch.arange(len(first), device=first.device)
    )


def embedding_pair_loss(
    first: Tensor, second: Tensor, is_must_link: Tensor, most_alike: float = 0.3
) -> Tensor:
    """Return the mean cost of pairs by the cosine of their embeddings.

    Contrastive loss of Hadsell et al. (2006) on directions: must-links cost their
    distance, cannot-links their similarity above `most_alike`.

    Parameters
    ----------
    first, second
        Embeddings of the two images of each pair, of shape (M, D).
    is_must_link
        True for must-links, False for cannot-links, of shape (M,).
    most_alike
        Cosine up to which a cannot-link costs nothing.
    """
    cosine = F.cosine_similarity(first, second)
    return torch.where(is_must_link, 1 - cosine, F.relu(cosine - most_alike)).mean()


def tag_loss(
    logits: Tensor, values: Tensor, class_weights: Tensor, weights: Tensor
) -> Tensor:
    """Return the cross-entropy of a tag over the images that have it, 0 if none has.

    Parameters
    ----------
    logits
        Of shape (N, V) over the tag's values.
    values
        Index of each image's value, -1 where it is missing, of shape (N,).
    class_weights
        Weight of each value, of shape (V,).
    weights
        Weight of each image, of shape (N,).
    """
    # A mask instead of a selection: the size of a selection would have to be fetched
    # from the GPU, which makes the CPU wait for it.
    masked = weights * (values >= 0)
    indices = values.clamp(min=0)
    losses = F.cross_entropy(
        logits,
        indices,
        weight=class_weights,
        reduction="none",
        label_smoothing=SMOOTHING,
    )
    total = (class_weights[indices] * masked).sum()
    # The least positive number makes 0 / 0 a 0 where no image has the tag.
    return (losses * masked).sum() / total.clamp(min=torch.finfo(total.dtype).tiny)
