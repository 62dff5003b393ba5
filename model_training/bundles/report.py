"""The report that lies in every bundle: one HTML page without external resources."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model_training.calibration.fit_bundle import FittedBundle
from model_training.network.clustering import squared_distances
from model_training.process.html_page import render_page
from model_training.snapshots.snapshot import Snapshot, as_slice
from model_training.tag_model.error_injection import ERROR_RATE
from veritag.bundles.manifest import ClusterProfile
from veritag.dicom.tags import JUDGED_TAGS

CLUSTERS_SHOWN = 64
PICTURES = 10
"""Of each cluster."""
SHARE_SHOWN = 0.01
"""Least share of a value that is named."""
VALUES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """One cluster of the report.

    Attributes
    ----------
    pictures
        Tiles nearest to its center, as data URIs.
    images
        How many training images lie in it.
    profiles
        Its most frequent values, one text for each tag.
    """

    cluster_id: int
    name: str
    pictures: tuple[str, ...]
    images: int
    profiles: tuple[str, ...]


def report_html(
    fitted: FittedBundle,
    snapshot: Snapshot,
    clusters: Sequence[ClusterProfile],
    *,
    with_tiles: bool,
) -> str:
    """Return the page.

    Parameters
    ----------
    clusters
        Under their public ids and names, in the order of the centers.
    with_tiles
        Whether images of the snapshot may be shown.
    """
    patients = len({sample.patient for sample in snapshot.samples})
    return render_page(
        __package__,
        "report.html",
        images={"all": len(snapshot), "patients": patients, **fitted.figures["images"]},
        size=snapshot.preprocessing.size,
        cluster_count=len(clusters),
        error_rate=f"{ERROR_RATE:.0%}",
        flagging=list(_flagging(fitted)),
        new_stations=fitted.figures["new_stations"],
        detectability=sorted(
            fitted.detectability, key=lambda d: (d.judged, d.tag, d.concept)
        ),
        constraints=fitted.figures.get("constraints"),
        history=fitted.trained.history,
        clusters=list(_clusters(fitted, snapshot, clusters, with_tiles=with_tiles)),
    )


def _flagging(
    fitted: FittedBundle,
) -> Iterator[tuple[str, float | None, dict[str, float]]]:
    """Yield tag, threshold and figures of the unseen patients."""
    for tag in JUDGED_TAGS:
        figures = fitted.figures["unseen"].get(tag, {}).get("all")
        if figures:
            yield tag, fitted.calibration.tags[tag].threshold, figures


def _clusters(
    fitted: FittedBundle,
    snapshot: Snapshot,
    clusters: Sequence[ClusterProfile],
    *,
    with_tiles: bool,
) -> Iterator[ClusterRow]:
    """Yield the largest clusters, the largest first."""
    tiles = snapshot.tiles[as_slice(fitted.split.training)]
    squared = squared_distances(
        fitted.trained.embed(tiles), fitted.model.clusters.centers
    )
    nearest = squared.argmin(axis=1)
    sizes = np.bincount(nearest, minlength=len(clusters))
    for k in np.argsort(-sizes)[:CLUSTERS_SHOWN].tolist():
        own = np.flatnonzero(nearest == k)
        closest = own[np.argsort(squared[own, k])][:PICTURES]
        pictures = [_data_uri(tile) for tile in tiles[closest]] if with_tiles else []
        yield ClusterRow(
            clusters[k].cluster_id,
            clusters[k].name,
            tuple(pictures),
            int(sizes[k]),
            tuple(_profiles(fitted, k)),
        )


def _profiles(fitted: FittedBundle, k: int) -> Iterator[str]:
    """Yield the most frequent values of the k-th cluster, tag by tag."""
    for tag in ("Modality", "BodyPartExamined"):
        profiles = fitted.model.clusters.profiles.get(tag)
        if profiles is None or not profiles.has_profile[k]:
            continue
        row = profiles.table[k]
        first = np.argsort(-row)[:VALUES_SHOWN]
        shares = ", ".join(
            f"{profiles.values[v]} {row[v]:.0%}" for v in first if row[v] >= SHARE_SHOWN
        )
        yield f"{tag}: {shares}"


def _data_uri(tile: NDArray[np.uint8]) -> str:
    _, png = cv2.imencode(".png", np.ascontiguousarray(tile))
    return "data:image/png;base64," + base64.b64encode(png.tobytes()).decode()
