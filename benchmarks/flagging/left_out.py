"""Kinds left out of training: how often they are recognized as UNKNOWN_KIND.

For each kind (Modality and region) a smaller bundle is trained without it. It is applied
to all images of that kind and to the unseen images of all other kinds.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.flagging.images import BenchmarkImages
from benchmarks.flagging.measures import Floats, Mask
from benchmarks.flagging.models import Log, TrainingBudget, train_bundle
from benchmarks.flagging.veritag_method import image_verdicts
from model_training.snapshots.split import Split
from veritag.bundles.bundle import load_bundle

LEFT_OUT = (
    "MR BREAST", "CR HAND", "XA HEART", "US LIVER", "CR CHEST", "CT HEAD",
)  # fmt: skip
UNKNOWN_AMONG_KNOWN = 0.02
LIMIT = 1.0
"""Novelty above which the kind of an image is unknown (see `Verdict.novelty`)."""


def run_left_out(
    folder: Path,
    kind: str,
    images: BenchmarkImages,
    budget: TrainingBudget,
    log: Log,
    limit: int,
) -> dict[str, Any]:
    """Return the answers of a bundle trained without a kind, for images of the kind.

    Parameters
    ----------
    limit
        Largest number of training images of a source and kind.
    """
    without = limit_training(images_without(images, kind), limit)
    epochs = budget.config.epochs
    path = folder / f"without-{kind.replace(' ', '-')}-{epochs}-{limit}"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.is_dir():
        train_bundle(path, without.snapshot, without.split, budget.config, log)
    known = novelty_of(path, without)[without.unseen]
    left_out = novelty_of(path, images_of(images, kind))
    return {
        "kind": kind,
        "epochs": epochs,
        "limit": limit,
        "known": len(known),
        "left_out": len(left_out),
        **figures(known, left_out),
    }


def figures(known: Floats, left_out: Floats) -> dict[str, float]:
    """Return shares of unknown images: at the bundle's limit, and at 2 % of the known."""
    limit = float(np.quantile(known, 1 - UNKNOWN_AMONG_KNOWN)) if len(known) else LIMIT
    return {
        "unknown_among_known": _share(known > LIMIT),
        "unknown_among_left_out": _share(left_out > LIMIT),
        "left_out_at_2_percent": _share(left_out > limit),
        "area_under_curve": round(area_under_curve(known, left_out), 4),
    }


def area_under_curve(known: Floats, left_out: Floats) -> float:
    """Return the share of pairs in which the left-out image is more novel; ties half.

    Infinite novelties are allowed, unlike in scikit-learn.
    """
    if not (len(known) and len(left_out)):
        return float("nan")
    ordered = np.sort(known)
    below = np.searchsorted(ordered, left_out, side="left")
    up_to = np.searchsorted(ordered, left_out, side="right")
    return float((below + up_to).mean() / 2 / len(known))


def images_without(images: BenchmarkImages, kind: str) -> BenchmarkImages:
    """Return all images except those of a kind; the split of the others is unchanged."""
    return _subset(images, ~_of_kind(images, kind))


def limit_training(
    images: BenchmarkImages, limit: int, seed: int = 0
) -> BenchmarkImages:
    """Return images with at most `limit` to train of each source and kind; 0 for all."""
    counts: Counter[tuple[str, str]] = Counter()
    mask = np.ones(len(images.paths), dtype=bool)
    training = np.flatnonzero(images.split.training)
    for row in np.random.default_rng(seed).permutation(training).tolist():
        sample = images.snapshot.samples[row]
        counts[sample.source, sample.kind] += 1
        mask[row] = not limit or counts[sample.source, sample.kind] <= limit
    return _subset(images, mask)


def images_of(images: BenchmarkImages, kind: str) -> BenchmarkImages:
    """Return all images of a kind, all of them measured."""
    chosen = _subset(images, _of_kind(images, kind))
    all_, none = np.ones(len(chosen.paths), bool), np.zeros(len(chosen.paths), bool)
    return replace(chosen, split=Split(none, none, all_, none))


def novelty_of(path: Path, images: BenchmarkImages) -> Floats:
    """Return the novelty of the measured images, of shape (n,)."""
    verdicts = image_verdicts(load_bundle(path), images)
    return np.array([np.inf if v.novelty is None else v.novelty for v in verdicts])


def require_kinds(images: BenchmarkImages, kinds: Sequence[str]) -> list[str]:
    """Return the kinds that have images."""
    present = {s.kind for s in images.snapshot.samples}
    return [kind for kind in kinds if kind in present]


def _of_kind(images: BenchmarkImages, kind: str) -> Mask:
    return np.array([s.kind == kind for s in images.snapshot.samples])


def _subset(images: BenchmarkImages, mask: Mask) -> BenchmarkImages:
    split = images.split
    return BenchmarkImages(
        images.snapshot.part(mask),
        Split(
            split.training[mask],
            split.calibration[mask],
            split.unseen[mask],
            split.new_stations[mask],
        ),
        tuple(p for p, keep in zip(images.paths, mask, strict=True) if keep),
    )


def _share(mask: Mask) -> float:
    return round(float(mask.mean()), 4) if len(mask) else float("nan")
