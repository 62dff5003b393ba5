"""From what was learnt to a sealed bundle."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import veritag
from model_training.export import (
    InspectionModel,
    cost_of_half,
    export_onnx,
    parity,
    run_onnx,
)
from model_training.identity import (
    NEXT_ID,
    matched_ids,
    next_cluster_id,
    with_identity,
)
from model_training.learn import Learnt
from model_training.profiles import cluster_profiles
from model_training.snapshot import Snapshot
from veritag.bundle import (
    MODEL,
    BundleManifest,
    ClusterProfile,
    ModelBundle,
    TagCalibration,
    seal_bundle,
)
from veritag.profiles import Floats

PARITY_TILES = 32
MATCHING_TILES = 4000
"""Images on which clusters are compared with those of the bundle before."""


def make_bundle(
    learnt: Learnt,
    snapshot: Snapshot,
    out: Path,
    lineage: dict[str, Any],
    champion: ModelBundle | None = None,
    write_pages: Callable[[Sequence[ClusterProfile]], None] = lambda _: None,
) -> ModelBundle:
    """Export into the folder `out`, check the export and seal all that lies there.

    Parameters
    ----------
    champion
        The bundle whose cluster ids go on where clusters hold the same images; None
        numbers them from 0.
    write_pages
        Writes into `out`, told of the clusters under their public ids and names, what
        is sealed besides.
    """
    encoder, model = learnt.trained.network.encoder, learnt.model
    half = learnt.config.half
    graph = InspectionModel(encoder, model.centers, model.degrees, half=half)
    export_onnx(graph, learnt.config.size, out / MODEL)
    difference = parity(graph, out / MODEL, snapshot.tiles[:PARITY_TILES])
    figures = {**learnt.figures, "export_difference": difference}
    n = len(learnt.model.centers)
    tiles = snapshot.tiles[:: -(-len(snapshot) // MATCHING_TILES)]
    _, q, distance = run_onnx(out / MODEL, np.ascontiguousarray(tiles))
    if half:
        full = InspectionModel(encoder, model.centers, model.degrees)
        figures["half_precision"] = cost_of_half(full, q, tiles)
    ids, next_id = _ids(q, tiles, champion)
    limits = tuple(np.round(learnt.limits, 6).tolist())
    clusters = with_identity(cluster_profiles(learnt.model.profiles, n), ids)
    write_pages(clusters)
    return seal_bundle(
        out,
        BundleManifest(
            preprocessing=snapshot.preprocessing,
            clusters=clusters,
            calibration={
                tag: _with_figures(learnt, tag) for tag in learnt.calibration.tags
            },
            sharpness=learnt.model.sharpness,
            novelty_limits=limits,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            training={
                **figures,
                "occupancy": _occupancy(distance, limits, ids),
            },
            lineage={
                "code_version": veritag.__version__,
                "configuration": asdict(learnt.config),
                "configuration_digest": learnt.config.digest(),
                "snapshot": snapshot.summary(),
                "parent": champion.bundle_id if champion else None,
                NEXT_ID: next_id,
                **lineage,
            },
        ),
    )


def _ids(
    q: Floats, tiles: NDArray[np.uint8], champion: ModelBundle | None
) -> tuple[Sequence[int], int]:
    """Return the public ids of the clusters, and the first that is free after them.

    Parameters
    ----------
    q
        Soft assignments of the tiles by the new model, of shape (N, K).
    """
    n = q.shape[1]
    if champion is None:
        return range(n), n
    first = next_cluster_id(champion.manifest)
    resized = _at_size(tiles, champion.manifest.preprocessing.size)
    _, old_q, _ = run_onnx(champion.model_path, resized)
    old_ids = [c.cluster_id for c in champion.manifest.clusters]
    ids = matched_ids(old_q, q, old_ids, first)
    return ids, max(first, max(ids) + 1)


def _occupancy(
    distance: Floats, limits: Sequence[float], ids: Sequence[int]
) -> dict[str, Any]:
    """Return how the images of the training lie, for drift to be told from.

    Parameters
    ----------
    distance
        To the cluster centers, of shape (N, K).
    """
    nearest = distance.argmin(axis=1)
    shares = np.bincount(nearest, minlength=len(ids)) / max(1, len(distance))
    unknown = distance.min(axis=1) > np.asarray(limits)[nearest]
    return {
        "images": len(distance),
        "clusters": {
            str(i): round(share, 6)
            for i, share in zip(ids, shares.tolist(), strict=True)
        },
        "unknown": round(float(unknown.mean()), 6),
    }


def old_clusters(
    champion: ModelBundle | None, tiles: NDArray[np.uint8]
) -> NDArray[np.int64] | None:
    """Return the champion's cluster of each tile (N, size, size), of shape (N,).

    None without a champion.
    """
    if champion is None:
        return None
    parts = []
    for start in range(0, len(tiles), MATCHING_TILES):
        some = np.ascontiguousarray(tiles[start : start + MATCHING_TILES])
        resized = _at_size(some, champion.manifest.preprocessing.size)
        parts.append(run_onnx(champion.model_path, resized)[1].argmax(axis=1))
    return np.concatenate(parts).astype(np.int64)


def _at_size(tiles: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return tiles (N, size, size): near enough to those made so to tell kinds apart."""
    if tiles.shape[1] == size:
        return np.ascontiguousarray(tiles)
    scaled = [cv2.resize(t, (size, size), interpolation=cv2.INTER_AREA) for t in tiles]
    return np.stack(scaled).astype(np.uint8)


def _with_figures(learnt: Learnt, tag: str) -> TagCalibration:
    figures = learnt.figures["unseen"].get(tag, {}).get("all", {})
    return replace(learnt.calibration.tags[tag], figures=figures)
