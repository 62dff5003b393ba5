"""The folder of a bundle: the sealed bundle with report, model card and exemplars."""

import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import veritag
from model_training.bundles.exemplars import write_exemplars
from model_training.bundles.model_card import card_markdown
from model_training.bundles.report import report_html
from model_training.bundles.seal import make_bundle
from model_training.calibration.fit_bundle import FittedBundle
from model_training.runs.disk_guards import SCRATCH_PREFIX
from model_training.runs.training_request import TrainingRequest
from model_training.snapshots.snapshot import Snapshot
from veritag.bundles.manifest import ClusterProfile

CARD = "MODEL_CARD.md"
REPORT = "report.html"


def write_bundle(
    fitted: FittedBundle, snapshot: Snapshot, request: TrainingRequest, parent: Path
) -> Path:
    """Make the bundle in a hidden folder beside its place; return its place.

    Only a whole and sealed bundle gets its name, by one rename.
    """
    work = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=parent))
    try:
        sealed = make_bundle(
            fitted,
            snapshot,
            work,
            _lineage(request),
            request.champion,
            write_pages=partial(_write_pages, fitted, snapshot, work, request),
        )
        place = request.out or parent / sealed.bundle_id
        # mkdtemp makes private folders; the worker may run as another user.
        work.chmod(0o755)
        work.rename(place)
    finally:
        # After the rename the folder is not there any more.
        shutil.rmtree(work, ignore_errors=True)
    return place


def _write_pages(
    fitted: FittedBundle,
    snapshot: Snapshot,
    folder: Path,
    request: TrainingRequest,
    clusters: Sequence[ClusterProfile],
) -> None:
    """Write report, model card and exemplars into the folder of the bundle."""
    page = report_html(fitted, snapshot, clusters, with_tiles=request.with_tiles)
    (folder / REPORT).write_text(page, encoding="utf-8")
    card = card_markdown(
        fitted,
        snapshot,
        version=veritag.__version__,
        note=request.note,
        with_tiles=request.with_tiles,
    )
    (folder / CARD).write_text(card, encoding="utf-8")
    if request.with_tiles:
        write_exemplars(fitted, snapshot, clusters, folder)


def _lineage(request: TrainingRequest) -> dict[str, Any]:
    """Return the inputs of the run for the manifest of its bundle."""
    return {
        "inputs": {
            "images": len(request.images),
            "archive": request.data is not None,
            "phantoms": request.phantoms,
            "with_research": request.with_research,
            "patients_kept_out": len(request.without),
        },
        "note": request.note,
    }
