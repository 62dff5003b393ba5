"""A sealed bundle with all parts that the pages show."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from tests.builders.manifests import detected, manifest
from veritag.bundles.bundle import seal_bundle
from veritag.bundles.manifest import ClusterProfile


def install_bundle(data_dir: Path) -> str:
    """Write a bundle into the registry and make it the one in use; return its id."""
    folder = data_dir / "bundles" / "new"
    (folder / "exemplars").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"not used by pages")
    tile = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (64, 6))
    cv2.imwrite(str(folder / "exemplars" / "7.png"), tile)
    rows = (
        detected("BodyPartExamined", "CHEST", "CR"),
        detected("BodyPartExamined", "HAND", "CR", judged=False),
        replace(
            detected("BodyPartExamined", "KNEE", "CR"),
            right=0,
            wrong=7,
            false_alarms=0,
            found=6,
        ),
        replace(detected("Modality", "CT", "CT", judged=False), precision=None),
    )
    clusters = (ClusterProfile(7, {}, {}, "CR chest"), ClusterProfile(2, {}, {}))
    bundle = seal_bundle(folder, manifest(clusters=clusters, detectability=rows))
    folder.rename(folder.with_name(bundle.bundle_id))
    (data_dir / "bundles" / "active").write_text(bundle.bundle_id)
    return bundle.bundle_id
