"""Reference images for tests of the gate, and bundles made without training."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from model_training.snapshots.samples import Sample
from model_training.snapshots.snapshot import Snapshot, assemble_snapshot
from tests.bundles import SIZE
from veritag.bundles.bundle import MANIFEST, ModelBundle, seal_bundle
from veritag.bundles.manifest import BundleManifest
from veritag.dicom.tags import read_tags
from veritag.phantoms.series import phantom_series
from veritag.pixels.preprocessing import Preprocessing
from veritag.pixels.tile import make_tile
from veritag.terms.concepts import normalize

PRE = Preprocessing(size=SIZE)
KINDS = ("CT-CHEST", "CT-HEAD", "MR-KNEE", "CR-HAND")


def reference_images(
    kinds: Sequence[str] = KINDS,
    patients: int = 9,
    instances: int = 3,
    pre: Preprocessing = PRE,
    first: int = 100,
) -> Snapshot:
    """Return images of so many patients of each kind, with right tags.

    Parameters
    ----------
    first
        Number of the first patient; other numbers are other patients.
    """
    return assemble_snapshot(
        [
            (make_tile(ds, pre), _sample(ds, f"{kind}-{first + patient}"))
            for kind in kinds
            for patient in range(patients)
            for ds in phantom_series(
                kind, patient=first + patient, instances=instances, seed=4, size=64
            )
        ],
        pre,
    )


def _sample(ds: Any, patient: str) -> Sample:
    tags = {k: normalize(k, v) for k, v in read_tags(ds).items()}
    return Sample(
        tags={k: v for k, v in tags.items() if v}, patient=patient, source="test"
    )


def changed_bundle(
    bundle: ModelBundle, path: Path, change: Callable[[dict[str, Any]], None]
) -> ModelBundle:
    """Return a copy of a bundle with another manifest, sealed anew."""
    shutil.copytree(bundle.path, path)
    body = json.loads((path / MANIFEST).read_text())
    change(body)
    (path / MANIFEST).unlink()
    for name in ("bundle_id", "schema", "files"):
        del body[name]
    return seal_bundle(path, TypeAdapter(BundleManifest).validate_python(body))


def relabelled(snapshot: Snapshot, value: str, kind: str) -> Snapshot:
    """Return the images with another body part on all of one kind."""
    samples = tuple(
        Sample({**s.tags, "BodyPartExamined": value}, s.patient, s.source)
        if s.kind == kind
        else s
        for s in snapshot.samples
    )
    return Snapshot(
        np.array(snapshot.tiles), samples, snapshot.preprocessing, snapshot.left_out
    )
