"""What findings cost: their share of the time that the inspection of an instance takes.

The bare inspection reads a file, makes its tile and asks the model. On top of it stand
tags, hints and checks of the instance, its verdict, and its part of judging the series.
Both run over the same DICOM files in turn, on one thread; the medians are compared.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from veritag.bundle import ModelBundle
from veritag.errors import RejectError
from veritag.judge import judge_series
from veritag.read import open_instance
from veritag.settings import Settings
from veritag.tile import make_tile
from worker.inference import Model
from worker.inspection import prepare, verdicts

FILES = 120
ROUNDS = 5
LIMIT_MB: int = Settings.model_fields["max_frame_mb"].default


def run_cost(bundle: ModelBundle, files: Sequence[Path]) -> dict[str, Any]:
    """Return milliseconds per instance, bare and with findings, and the share added."""
    model = Model(bundle)
    usable = [f for f in files if _is_usable(f, bundle)][:FILES]
    if not usable:
        return {"files": 0}
    bare, whole = [], []
    for _ in range(ROUNDS):
        bare.append(_seconds(lambda: _bare(model, usable)))
        whole.append(_seconds(lambda: _with_findings(model, usable)))
    pairs = [w / b - 1 for w, b in zip(whole, bare, strict=True)]
    return {
        "files": len(usable),
        "bare_ms": round(1000 * statistics.median(bare) / len(usable), 3),
        "with_findings_ms": round(1000 * statistics.median(whole) / len(usable), 3),
        "added": round(statistics.median(pairs), 4),
        "added_range": [round(min(pairs), 4), round(max(pairs), 4)],
    }


def _is_usable(path: Path, bundle: ModelBundle) -> bool:
    try:
        make_tile(open_instance(path), bundle.manifest.preprocessing)
    except RejectError:
        return False
    return True


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _bare(model: Model, files: Sequence[Path]) -> None:
    preprocessing = model.bundle.manifest.preprocessing
    for path in files:
        tile = make_tile(open_instance(path), preprocessing, max_frame_mb=LIMIT_MB)
        model.assign(tile[np.newaxis])


def _with_findings(model: Model, files: Sequence[Path]) -> None:
    bundle = model.bundle
    for path in files:
        prepared = prepare(
            path, bundle.manifest.preprocessing, max_frame_mb=LIMIT_MB, identify=False
        )
        if prepared.tile is None:
            continue
        said = model.assign(prepared.tile[np.newaxis])
        seen = verdicts(bundle, [prepared], said.soft_assignment, said.distance)
        judge_series(bundle.manifest, seen)
