"""Embedding of a snapshot, of its augmented copies and of blank images."""

import numpy as np
import torch

from model_training.snapshots.blank_images import blank_images
from model_training.snapshots.snapshot import Snapshot, as_slice
from model_training.snapshots.split import Split
from model_training.tag_model.embedded_images import EmbeddedImages
from model_training.tag_model.fit_numeric_ranges import numeric_values
from model_training.training.trained import Trained
from veritag.dicom.tags import JUDGED_TAGS


def embed_snapshot(snapshot: Snapshot, trained: Trained) -> EmbeddedImages:
    """Return the embedded images of a snapshot, with their tags."""
    return EmbeddedImages(
        trained.embed(snapshot.tiles),
        trained.statistics(snapshot.tiles),
        {tag: snapshot.values(tag) for tag in JUDGED_TAGS},
        numeric_values(snapshot.samples),
    )


def embed_blank(trained: Trained, seed: int) -> EmbeddedImages:
    """Return embedded blank images, which have no tags."""
    tiles = blank_images(trained.config.size, seed)
    return EmbeddedImages(trained.embed(tiles), trained.statistics(tiles), {})


def embed_views(
    trained: Trained, snapshot: Snapshot, split: Split, own: EmbeddedImages
) -> EmbeddedImages:
    """Return the training part followed by augmented copies, which have no statistics."""
    config = trained.config
    tiles = snapshot.tiles[as_slice(split.training)]
    device = trained.network.cluster_centers.device
    parts = [own.embedding]
    for view in range(1, config.views + 1):
        generator = torch.Generator(device).manual_seed(config.seed * 1000 + view)
        parts.append(trained.embed(tiles, generator))
    values = {tag: np.tile(column, len(parts)) for tag, column in own.values.items()}
    return EmbeddedImages(np.concatenate(parts), own.statistics, values)
