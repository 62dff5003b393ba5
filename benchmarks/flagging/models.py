"""Models trained on noisy tags, Veritag's bundle and the supervised network, on disk."""

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
from benchmarks.flagging.cleanlab_methods import (
    CleanlabMethod,
    DatalabMethod,
    has_cleanlab,
)
from benchmarks.flagging.cnn import train_supervised
from benchmarks.flagging.images import TAGS, BenchmarkImages
from benchmarks.flagging.measures import Floats, Rows
from benchmarks.flagging.methods import (
    IsolationMethod,
    Method,
    ProbabilityMethod,
    ReferenceData,
    combine_methods,
    logistic_regression,
    nearest_neighbors,
)
from benchmarks.flagging.veritag_method import (
    Inspector,
    VeritagMethod,
    make_inspector,
    ungated_method,
)
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
"""Veritag as shipped, and the graph's probabilities of all values, without gates."""

Log = Callable[[str], None]


@dataclass(frozen=True)
class TrainingBudget:
    """Settings of the trainings of the bundle and of the supervised network.

    Attributes
    ----------
    bundle
        An existing bundle to measure in place of a new one.
    """

    config: TrainingConfig
    supervised_epochs: int = 14
    bundle: Path | None = None


@dataclass(frozen=True)
class Models:
    """All models trained at one share of wrong tags."""

    bundle: ModelBundle
    inspector: Inspector
    supervised: ProbabilityMethod
    reference: ReferenceData
    embedding: Floats

    @cached_property
    def methods(self) -> dict[str, Method]:
        """Name to method; cleanlab's only where it is installed."""
        regression = logistic_regression(self.reference, self.embedding)
        methods: dict[str, Method] = {
            OURS: VeritagMethod(self.inspector),
            "supervised CNN": self.supervised,
            "kNN vote, our embedding": nearest_neighbors(
                self.reference, self.embedding
            ),
            "logistic regression, our embedding": regression,
            "isolation forest, our embedding": IsolationMethod(
                self.reference, self.embedding
            ),
            "rules only": VeritagMethod(self.inspector, by_rules=True),
        }
        ungated = ungated_method(self.inspector)
        if ungated is not None:
            methods[UNGATED] = ungated
        if has_cleanlab():
            methods["cleanlab, supervised CNN"] = CleanlabMethod(self.supervised)
            methods["cleanlab, our embedding"] = combine_methods(
                CleanlabMethod(regression),
                DatalabMethod(self.reference, self.embedding),
            )
        return methods


def train_models(
    folder: Path,
    images: BenchmarkImages,
    poison: float,
    budget: TrainingBudget,
    log: Log,
) -> Models:
    """Train on wrong tags, or load what an earlier run left in the folder."""
    noisy = images.poisoned(poison)
    folder.mkdir(parents=True, exist_ok=True)
    _remove_outdated(folder, noisy, budget)
    if budget.bundle is not None:
        bundle = load_bundle(budget.bundle)
    else:
        bundle = _bundle(folder, noisy, images.split, budget.config, log)
    supervised = _supervised(folder, noisy, images, budget, log)
    log("embedding")
    embedding = run_onnx(bundle.model_path, np.ascontiguousarray(noisy.tiles)).embedding
    references = np.flatnonzero(images.split.training | images.split.calibration)
    values = {tag: noisy.values(tag)[references] for tag in TAGS}
    reference = ReferenceData(embedding[references], values)
    inspector = make_inspector(bundle, images)
    return Models(bundle, inspector, supervised, reference, embedding[images.measured])


def _remove_outdated(folder: Path, noisy: Snapshot, budget: TrainingBudget) -> None:
    """Remove models that were trained on other images or with other settings."""
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
    folder: Path, noisy: Snapshot, split: Split, config: TrainingConfig, log: Log
) -> ModelBundle:
    path = folder / BUNDLE
    if not path.is_dir():
        train_bundle(path, noisy, split, config, log)
    return load_bundle(path)


def train_bundle(
    path: Path, snapshot: Snapshot, split: Split, config: TrainingConfig, log: Log
) -> None:
    """Train a bundle as `veritag train` does, with a given split, into a new folder."""
    training, held_out = training_sets(snapshot, split, config)
    checkpoint = Checkpoint(path.with_suffix(".pt"), config.digest())
    trained = train(
        training,
        held_out,
        config,
        device="cpu",
        checkpoint=checkpoint,
        on_epoch=lambda figures: log(str(figures)),
    )
    fitted = fit_bundle(snapshot, split, trained, on_step=log)
    work = Path(tempfile.mkdtemp(prefix=".bundle-", dir=path.parent))
    try:
        make_bundle(fitted, snapshot, work, {"note": "benchmarks.flagging.run"})
        work.rename(path)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    checkpoint.discard()


def _supervised(
    folder: Path,
    noisy: Snapshot,
    images: BenchmarkImages,
    budget: TrainingBudget,
    log: Log,
) -> ProbabilityMethod:
    path = folder / SUPERVISED
    if not path.is_file():
        _train_supervised(path, noisy, images, budget, log)
    with np.load(path, allow_pickle=False) as arrays:
        return ProbabilityMethod(
            {tag: tuple(arrays[f"classes {tag}"].tolist()) for tag in TAGS},
            {tag: arrays[f"probability {tag}"] for tag in TAGS},
        )


def _train_supervised(
    path: Path,
    noisy: Snapshot,
    images: BenchmarkImages,
    budget: TrainingBudget,
    log: Log,
) -> None:
    training = np.flatnonzero(images.split.training)
    held_out = np.flatnonzero(images.split.calibration)
    values, held_out_values = (_values(noisy, rows) for rows in (training, held_out))
    supervised = train_supervised(
        noisy.tiles[training],
        values,
        (noisy.tiles[held_out], held_out_values),
        epochs=budget.supervised_epochs,
        seed=budget.config.seed,
        on_epoch=lambda line: log(f"supervised CNN, {line}"),
    )
    arrays: dict[str, Any] = {}
    for tag, probability in supervised.probabilities(images.tiles).items():
        arrays[f"classes {tag}"] = np.array(supervised.classes[tag])
        arrays[f"probability {tag}"] = probability
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, **arrays)
    partial.replace(path)


def _values(noisy: Snapshot, rows: Rows) -> dict[str, Any]:
    return {tag: noisy.values(tag)[rows] for tag in TAGS}
