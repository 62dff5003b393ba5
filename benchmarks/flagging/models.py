"""What is trained on poisoned tags: our bundle and the supervised network, kept on disk."""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import veritag
from benchmarks.flagging.cleanlab_methods import ByCleanlab, ByDatalab, has_cleanlab
from benchmarks.flagging.cnn import train_supervised
from benchmarks.flagging.images import TAGS, BenchmarkImages
from benchmarks.flagging.measures import Floats, Rows
from benchmarks.flagging.methods import (
    ByIsolation,
    ByProbability,
    Method,
    ReferenceData,
    logistic,
    neighbors_vote,
    together,
)
from benchmarks.flagging.ours import Inspector, Ours, inspector_of, without_gates
from model_training.bundles.export import run_onnx
from model_training.bundles.seal import make_bundle
from model_training.calibration.fit_bundle import fit_bundle
from model_training.network.training_config import TrainingConfig
from model_training.snapshots.snapshot import Snapshot
from model_training.snapshots.split import Split
from model_training.training.checkpoint import Checkpoint
from model_training.training.loop import train
from model_training.training.training_sets import training_sets
from veritag.bundles.bundle import ModelBundle, load_bundle

BUNDLE, SUPERVISED, MADE_FROM = "bundle", "supervised.npz", "made-from.json"
OURS, UNGATED = "veritag", "veritag, without gates"
"""As shipped; and the graph's own probabilities, however little was shown of them."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class TrainingBudget:
    """How our model and the supervised network are trained.

    Attributes
    ----------
    bundle
        One that is there already and is measured in place of a new one.
    """

    config: TrainingConfig
    supervised_epochs: int = 14
    bundle: Path | None = None


@dataclass(frozen=True)
class Models:
    """All that was learnt at one share of wrong tags in training."""

    bundle: ModelBundle
    inspector: Inspector
    supervised: ByProbability
    reference: ReferenceData
    embedding: Floats

    @cached_property
    def methods(self) -> dict[str, Method]:
        """Name of each method to it; cleanlab's only where it is installed."""
        logistic_ = logistic(self.reference, self.embedding)
        methods: dict[str, Method] = {
            OURS: Ours(self.inspector),
            "supervised CNN": self.supervised,
            "kNN vote, our embedding": neighbors_vote(self.reference, self.embedding),
            "logistic regression, our embedding": logistic_,
            "isolation forest, our embedding": ByIsolation(
                self.reference, self.embedding
            ),
            "rules only": Ours(self.inspector, by_rules=True),
        }
        bare = without_gates(self.inspector)
        if bare is not None:
            methods[UNGATED] = bare
        if has_cleanlab():
            methods["cleanlab, supervised CNN"] = ByCleanlab(self.supervised)
            methods["cleanlab, our embedding"] = together(
                ByCleanlab(logistic_), ByDatalab(self.reference, self.embedding)
            )
        return methods


def models(
    folder: Path,
    images: BenchmarkImages,
    poison: float,
    budget: TrainingBudget,
    tell: Tell,
) -> Models:
    """Train on wrong tags, or take what an interrupted run left in the folder."""
    noisy = images.poisoned(poison)
    folder.mkdir(parents=True, exist_ok=True)
    _forget_others(folder, noisy, budget)
    if budget.bundle is not None:
        bundle = load_bundle(budget.bundle)
    else:
        bundle = _bundle(folder, noisy, images.split, budget.config, tell)
    supervised = _supervised(folder, noisy, images, budget, tell)
    tell("embedding")
    embedding = run_onnx(bundle.model_path, np.ascontiguousarray(noisy.tiles)).embedding
    known = np.flatnonzero(images.split.training | images.split.calibration)
    values = {tag: noisy.values(tag)[known] for tag in TAGS}
    reference = ReferenceData(embedding[known], values)
    inspector = inspector_of(bundle, images)
    return Models(bundle, inspector, supervised, reference, embedding[images.measured])


def _forget_others(folder: Path, noisy: Snapshot, budget: TrainingBudget) -> None:
    """Remove what was trained on other images or with other settings."""
    made_from = {
        "version": veritag.__version__,
        "snapshot": noisy.digest(),
        "configuration": budget.config.digest(),
        "supervised_epochs": budget.supervised_epochs,
    }
    path = folder / MADE_FROM
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != made_from:
        shutil.rmtree(folder)
        folder.mkdir()
    path.write_text(json.dumps(made_from), encoding="utf-8")


def _bundle(
    folder: Path, noisy: Snapshot, split: Split, config: TrainingConfig, tell: Tell
) -> ModelBundle:
    place = folder / BUNDLE
    if not place.is_dir():
        learn_bundle(place, noisy, split, config, tell)
    return load_bundle(place)


def learn_bundle(
    place: Path, snapshot: Snapshot, split: Split, config: TrainingConfig, tell: Tell
) -> None:
    """Do what `veritag train` does, with a given split, into a new folder."""
    training, held_out = training_sets(snapshot, split, config)
    checkpoint = Checkpoint(place.with_suffix(".pt"), config.digest())
    trained = train(
        training,
        held_out,
        config,
        device="cpu",
        checkpoint=checkpoint,
        on_epoch=lambda figures: tell(str(figures)),
    )
    learnt = fit_bundle(snapshot, split, trained, on_step=tell)
    work = Path(tempfile.mkdtemp(prefix=".bundle-", dir=place.parent))
    try:
        make_bundle(learnt, snapshot, work, {"note": "benchmarks.flagging.run"})
        work.rename(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    checkpoint.discard()


def _supervised(
    folder: Path,
    noisy: Snapshot,
    images: BenchmarkImages,
    budget: TrainingBudget,
    tell: Tell,
) -> ByProbability:
    path = folder / SUPERVISED
    if not path.is_file():
        _train_supervised(path, noisy, images, budget, tell)
    with np.load(path, allow_pickle=False) as kept:
        return ByProbability(
            {tag: tuple(kept[f"classes {tag}"].tolist()) for tag in TAGS},
            {tag: kept[f"probability {tag}"] for tag in TAGS},
        )


def _train_supervised(
    path: Path,
    noisy: Snapshot,
    images: BenchmarkImages,
    budget: TrainingBudget,
    tell: Tell,
) -> None:
    training = np.flatnonzero(images.split.training)
    held_out = np.flatnonzero(images.split.calibration)
    values, held_values = (_values(noisy, rows) for rows in (training, held_out))
    made = train_supervised(
        noisy.tiles[training],
        values,
        (noisy.tiles[held_out], held_values),
        epochs=budget.supervised_epochs,
        seed=budget.config.seed,
        on_epoch=lambda line: tell(f"supervised CNN, {line}"),
    )
    kept: dict[str, Any] = {}
    for tag, probability in made.probabilities(images.tiles).items():
        kept[f"classes {tag}"] = np.array(made.classes[tag])
        kept[f"probability {tag}"] = probability
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, **kept)
    partial.replace(path)


def _values(noisy: Snapshot, rows: Rows) -> dict[str, Any]:
    return {tag: noisy.values(tag)[rows] for tag in TAGS}
