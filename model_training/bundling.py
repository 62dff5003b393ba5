"""From what was learnt to a sealed bundle."""

from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import veritag
from model_training.export import InspectionModel, export_onnx, parity
from model_training.learn import Learnt
from model_training.profiles import cluster_profiles
from model_training.snapshot import Snapshot
from veritag.bundle import (
    MODEL,
    BundleManifest,
    ModelBundle,
    TagCalibration,
    seal_bundle,
)

PARITY_TILES = 32


def make_bundle(
    learnt: Learnt, snapshot: Snapshot, out: Path, lineage: dict[str, Any]
) -> ModelBundle:
    """Export into the folder `out`, check the export and seal all that lies there."""
    graph = InspectionModel(
        learnt.autoencoder.encoder, learnt.model.whitening, learnt.model.centers
    )
    export_onnx(graph, learnt.config.size, out / MODEL)
    difference = parity(graph, out / MODEL, snapshot.tiles[:PARITY_TILES])
    n = len(learnt.model.centers)
    return seal_bundle(
        out,
        BundleManifest(
            preprocessing=snapshot.preprocessing,
            clusters=cluster_profiles(learnt.model.profiles, n),
            calibration={
                tag: _with_figures(learnt, tag) for tag in learnt.calibration.tags
            },
            sharpness=learnt.model.sharpness,
            novelty_limits=_limits(learnt),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            training={**learnt.figures, "export_difference": difference},
            lineage={
                "code_version": veritag.__version__,
                "configuration": asdict(learnt.config),
                "configuration_digest": learnt.config.digest(),
                "snapshot": snapshot.summary(),
                **lineage,
            },
        ),
    )


def _limits(learnt: Learnt) -> tuple[float, ...]:
    """Return the radius of each cluster; a group without evidence knows nothing."""
    radii = learnt.calibration.radii
    groups = learnt.model.groups().tolist()
    return tuple(round(radii.get(g, 0.0), 6) for g in groups)


def _with_figures(learnt: Learnt, tag: str) -> TagCalibration:
    figures = learnt.figures["unseen"].get(tag, {}).get("all", {})
    return replace(learnt.calibration.tags[tag], figures=figures)
