"""Kinds that training never met, and how often they are answered UNKNOWN_KIND.

For each kind (Modality and region) a bundle is trained without it, in a smaller
setting, and asked of that kind's images and of the unseen images of all other kinds.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.flagging.images import BenchmarkImages
from benchmarks.flagging.measures import Floats, Mask
from benchmarks.flagging.models import Tell, TrainingBudget, learn_bundle
from benchmarks.flagging.ours import seen_by
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
    tell: Tell,
    limit: int,
) -> dict[str, Any]:
    """Return how images of a kind are answered by a bundle that never met it.

    Parameters
    ----------
    limit
        Most images of a source and kind that train.
    """
    without = fewer_to_train(images_without(images, kind), limit)
    epochs = budget.config.epochs
    place = folder / f"without-{kind.replace(' ', '-')}-{epochs}-{limit}"
    folder.mkdir(parents=True, exist_ok=True)
    if not place.is_dir():
        learn_bundle(place, without.snapshot, without.split, budget.config, tell)
    known = novelty_of(place, without)[without.unseen]
    stranger = novelty_of(place, images_of(images, kind))
    return {
        "kind": kind,
        "epochs": epochs,
        "limit": limit,
        "known": len(known),
        "strangers": len(stranger),
        **figures(known, stranger),
    }


def figures(known: Floats, stranger: Floats) -> dict[str, float]:
    """Return shares answered unknown: at the bundle's limit, and at 2 % of the known."""
    limit = float(np.quantile(known, 1 - UNKNOWN_AMONG_KNOWN)) if len(known) else LIMIT
    return {
        "unknown_among_known": _share(known > LIMIT),
        "unknown_among_strangers": _share(stranger > LIMIT),
        "strangers_at_2_percent": _share(stranger > limit),
        "area_under_curve": round(area(known, stranger), 4),
    }


def area(known: Floats, stranger: Floats) -> float:
    """Return how often a stranger is the more novel one of a pair, ties half."""
    if not (len(known) and len(stranger)):
        return float("nan")
    ordered = np.sort(known)
    below = np.searchsorted(ordered, stranger, side="left")
    up_to = np.searchsorted(ordered, stranger, side="right")
    return float((below + up_to).mean() / 2 / len(known))


def images_without(images: BenchmarkImages, kind: str) -> BenchmarkImages:
    """Return all images but those of a kind, each in the part where it was."""
    return _chosen(images, ~_of_kind(images, kind))


def fewer_to_train(
    images: BenchmarkImages, limit: int, seed: int = 0
) -> BenchmarkImages:
    """Return images of which at most so many of a source and kind train, 0 for all."""
    seen: Counter[tuple[str, str]] = Counter()
    kept = np.ones(len(images.paths), dtype=bool)
    training = np.flatnonzero(images.split.training)
    for row in np.random.default_rng(seed).permutation(training).tolist():
        sample = images.snapshot.samples[row]
        seen[sample.source, sample.kind] += 1
        kept[row] = not limit or seen[sample.source, sample.kind] <= limit
    return _chosen(images, kept)


def images_of(images: BenchmarkImages, kind: str) -> BenchmarkImages:
    """Return the images of a kind from whatever part, all of them to be measured."""
    chosen = _chosen(images, _of_kind(images, kind))
    all_, none = np.ones(len(chosen.paths), bool), np.zeros(len(chosen.paths), bool)
    return replace(chosen, split=Split(none, none, all_, none))


def novelty_of(place: Path, images: BenchmarkImages) -> Floats:
    """Return the novelty of the measured images, of shape (n,)."""
    seen = seen_by(load_bundle(place), images)
    return np.array([np.inf if v.novelty is None else v.novelty for v in seen])


def require_kinds(images: BenchmarkImages, kinds: Sequence[str]) -> list[str]:
    """Return those kinds of which there are images."""
    there = {s.kind for s in images.snapshot.samples}
    return [kind for kind in kinds if kind in there]


def _of_kind(images: BenchmarkImages, kind: str) -> Mask:
    return np.array([s.kind == kind for s in images.snapshot.samples])


def _chosen(images: BenchmarkImages, chosen: Mask) -> BenchmarkImages:
    split = images.split
    return BenchmarkImages(
        images.snapshot.part(chosen),
        Split(
            split.training[chosen],
            split.calibration[chosen],
            split.unseen[chosen],
            split.new_stations[chosen],
        ),
        tuple(p for p, keep in zip(images.paths, chosen, strict=True) if keep),
    )


def _share(mask: Mask) -> float:
    return round(float(mask.mean()), 4) if len(mask) else float("nan")
