"""Sealing of a fitted model as a bundle."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import veritag
from model_training.bundles.cluster_ids import (
    NEXT_ID,
    matched_ids,
    next_cluster_id,
    with_identity,
)
from model_training.bundles.export import (
    InspectionModel,
    cost_of_half,
    export_onnx,
    parity,
    run_onnx,
)
from model_training.calibration.calibrate import LEAST_PRECISION
from model_training.calibration.fit_bundle import FittedBundle
from model_training.network.clustering import squared_distances
from model_training.snapshots.snapshot import Snapshot
from model_training.tag_model.error_injection import ERROR_RATE
from model_training.tag_model.tag_model import TagModel
from model_training.tag_model.tag_pool import SOURCES
from model_training.tag_model.tag_profiles import cluster_profiles
from veritag.bundles.bundle import MODEL, ModelBundle, seal_bundle
from veritag.bundles.graph import GraphOutputs
from veritag.bundles.manifest import BundleManifest, ClusterProfile, TagCalibration
from veritag.judging.tag_probabilities import Floats
from veritag.judging.tag_scores import is_known_kind
from veritag.pixels.preprocessing import Preprocessing

EXEMPLARS = 6
"""Neighbor images of each cluster that the manifest names."""
PARITY_TILES = 32
"""Images on which the graph is compared with the trained model."""
MATCHING_TILES = 4000
"""Images on which clusters are compared with those of the champion."""


def make_bundle(
    fitted: FittedBundle,
    snapshot: Snapshot,
    out: Path,
    lineage: dict[str, Any],
    champion: ModelBundle | None = None,
    write_pages: Callable[[Sequence[ClusterProfile]], None] = lambda _: None,
) -> ModelBundle:
    """Export into the folder `out`, check the export, and seal all files there.

    Parameters
    ----------
    champion
        The bundle whose cluster ids are kept for clusters of the same images; without
        one, clusters are numbered from 0.
    write_pages
        Writes further files into `out` before it is sealed, given the clusters with
        their public ids and names.

    Raises
    ------
    StopError
        If the exported graph differs from the trained model.
    """
    half = fitted.config.half
    graph = _graph(fitted, half=half)
    export_onnx(graph, fitted.config.size, out / MODEL)
    difference = parity(graph, out / MODEL, snapshot.tiles[:PARITY_TILES])
    figures = {**fitted.figures, "export_difference": difference}
    # Every n-th image: neighboring rows are of one part or source.
    tiles = snapshot.tiles[:: -(-len(snapshot) // MATCHING_TILES)]
    outputs = run_onnx(out / MODEL, np.ascontiguousarray(tiles))
    q = outputs.soft_assignment
    if half:
        figures["half_precision"] = cost_of_half(_graph(fitted), q, tiles)
    ids, next_id = _ids(q, tiles, champion)
    figures["occupancy"] = _occupancy(outputs, ids)
    clusters = with_identity(_clusters(fitted.model), ids)
    # Before the seal, which covers every file of the folder.
    write_pages(clusters)
    origin = {
        "snapshot": snapshot.summary(),
        "parent": champion.bundle_id if champion else None,
        NEXT_ID: next_id,
        **lineage,
    }
    pre = snapshot.preprocessing
    return seal_bundle(out, _manifest(fitted, pre, clusters, figures, origin))


def _manifest(
    fitted: FittedBundle,
    preprocessing: Preprocessing,
    clusters: tuple[ClusterProfile, ...],
    figures: dict[str, Any],
    lineage: dict[str, Any],
) -> BundleManifest:
    calibration, sources = fitted.calibration, fitted.model.sources
    return BundleManifest(
        preprocessing=preprocessing,
        clusters=clusters,
        calibration={tag: _with_figures(fitted, tag) for tag in calibration.tags},
        sharpness=fitted.model.clusters.sharpness,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        concepts=fitted.model.concepts,
        mixture=_mixture(fitted.model),
        familiar=fitted.model.novelty.novelty(calibration.flagging_limit),
        correlation=fitted.correlation,
        neighbor_concepts={
            tag: tuple(one.carried.tolist()) for tag, one in sources.items()
        },
        detectability=fitted.detectability,
        training=figures,
        lineage={
            "code_version": veritag.__version__,
            "configuration": asdict(fitted.config),
            "configuration_digest": fitted.config.digest(),
            **lineage,
        },
    )


def _ids(
    q: Floats, tiles: NDArray[np.uint8], champion: ModelBundle | None
) -> tuple[Sequence[int], int]:
    """Return the public ids of the clusters, and the next unused one.

    Parameters
    ----------
    q
        Soft assignments of the tiles by the new model, of shape (N, K).
    """
    n = q.shape[1]
    if champion is None:
        return range(n), n
    # Ids of clusters that are gone are not used again: findings still name them.
    first = next_cluster_id(champion.manifest)
    resized = _at_size(tiles, champion.manifest.preprocessing.size)
    old_q = run_onnx(champion.model_path, resized).soft_assignment
    old_ids = [c.cluster_id for c in champion.manifest.clusters]
    ids = matched_ids(old_q, q, old_ids, first)
    return ids, max(first, max(ids) + 1)


def _graph(fitted: FittedBundle, *, half: bool = False) -> InspectionModel:
    model = fitted.model
    encoder = fitted.trained.network.encoder
    return InspectionModel(encoder, model.predictor, model.novelty_score(), half=half)


def _mixture(model: TagModel) -> dict[str, dict[str, float]]:
    """Return keyword to the weights of the pool's sources, the manifest's `mixture`."""
    return {
        tag: {
            name: round(float(weight), 4)
            for name, weight in zip(SOURCES, one.weights, strict=True)
        }
        for tag, one in model.sources.items()
    }


def _clusters(model: TagModel) -> tuple[ClusterProfile, ...]:
    """Return the clusters with their profiles and exemplars, numbered from 0."""
    centers, neighbors = model.clusters.centers, model.neighbors.embedding
    nearest = np.argsort(squared_distances(centers, neighbors), axis=1)
    profiles = cluster_profiles(model.clusters.profiles, len(centers))
    return tuple(
        replace(
            profile,
            exemplars=tuple(nearest[k, :EXEMPLARS].tolist()),
            ranges=_ranges(model, k),
        )
        for k, profile in enumerate(profiles)
    )


def _ranges(model: TagModel, k: int) -> dict[str, tuple[float, float]]:
    """Return the ranges of the k-th cluster, keyword to low and high end."""
    ends = {tag: (low[k], high[k]) for tag, (low, high) in model.ranges.items()}
    return {
        # Six digits: more are noise of the fit.
        tag: (float(f"{low:.6g}"), float(f"{high:.6g}"))
        for tag, (low, high) in ends.items()
        if np.isfinite(low)
    }


def _occupancy(
    outputs: GraphOutputs[NDArray[Any]], ids: Sequence[int]
) -> dict[str, Any]:
    """Return the shares of clusters and of unknown kinds, which drift is measured from."""
    count = len(outputs.distance)
    nearest = outputs.distance.argmin(axis=1)
    shares = np.bincount(nearest, minlength=len(ids)) / max(1, count)
    unknown = ~is_known_kind(outputs.novelty)
    return {
        "images": count,
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
    # In batches, because the tiles may be mapped from a file.
    for start in range(0, len(tiles), MATCHING_TILES):
        batch = np.ascontiguousarray(tiles[start : start + MATCHING_TILES])
        resized = _at_size(batch, champion.manifest.preprocessing.size)
        old_q = run_onnx(champion.model_path, resized).soft_assignment
        parts.append(old_q.argmax(axis=1))
    return np.concatenate(parts).astype(np.int64)


def _at_size(tiles: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return tiles scaled to (N, size, size), close enough to tell kinds apart."""
    if tiles.shape[1] == size:
        return np.ascontiguousarray(tiles)
    scaled = [cv2.resize(t, (size, size), interpolation=cv2.INTER_AREA) for t in tiles]
    return np.stack(scaled).astype(np.uint8)


def _with_figures(fitted: FittedBundle, tag: str) -> TagCalibration:
    figures = fitted.figures["unseen"].get(tag, {}).get("all", {})
    figures = {**figures, "promised_precision": LEAST_PRECISION, "of_wrong": ERROR_RATE}
    return replace(fitted.calibration.tags[tag], figures=figures)
