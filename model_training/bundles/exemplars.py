"""Pictures of the clusters, which show reviewers what an image is similar to."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from model_training.calibration.fit_bundle import FittedBundle
from model_training.snapshots.snapshot import Snapshot
from veritag.bundles.manifest import ClusterProfile

FOLDER = "exemplars"


def write_exemplars(
    fitted: FittedBundle,
    snapshot: Snapshot,
    clusters: Sequence[ClusterProfile],
    out: Path,
) -> None:
    """Write a strip of each cluster's nearest neighbor images, named by its id."""
    folder = out / FOLDER
    folder.mkdir()
    rows = np.flatnonzero(fitted.split.training)[fitted.model.neighbors.rows]
    for cluster in clusters:
        tiles = snapshot.tiles[rows[list(cluster.exemplars)]]
        strip = np.hstack(list(tiles))
        cv2.imwrite(str(folder / f"{cluster.cluster_id}.png"), strip)
