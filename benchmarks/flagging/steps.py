"""Parts of the benchmark; each is run once and its result stored."""

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

import veritag
from benchmarks.flagging.cleanlab_methods import has_cleanlab
from benchmarks.flagging.cost import run_cost
from benchmarks.flagging.images import TAGS, BenchmarkImages
from benchmarks.flagging.left_out import LEFT_OUT as LEFT_OUT_KINDS
from benchmarks.flagging.left_out import require_kinds, run_left_out
from benchmarks.flagging.models import Log, Models, TrainingBudget, train_models
from benchmarks.flagging.series import run_series
from benchmarks.flagging.single import FlaggingCell, run_cell
from benchmarks.flagging.store import COST, LEFT_OUT, SERIES, SINGLE, FlaggingStore
from model_training.runs.recipes import chosen_recipe
from veritag.bundles.bundle import load_bundle
from veritag.errors import ConfigurationError

Step = Callable[[], None]


@dataclass
class FlaggingBench:
    """Images, results so far, and the models of the last share of wrong tags."""

    args: argparse.Namespace
    images: BenchmarkImages
    store: FlaggingStore
    log: Log
    _trained: dict[float, Models] = field(default_factory=dict)

    def single(
        self, poison: float, rates: Sequence[float], kinds: Sequence[str]
    ) -> Iterator[Step]:
        """Yield the missing comparisons on single images, the usual rate first."""
        for rate in sorted(rates, key=lambda r: (r != 0.05, r)):
            for kind in kinds:
                cell = FlaggingCell(poison, kind, rate)
                if not self.store.has(SINGLE, cell.key):
                    yield partial(self._single, cell)

    def series(self, poison: float) -> Iterator[Step]:
        """Yield the comparison on whole series, if it is missing."""
        if not self.store.has(SERIES, f"poison {poison:g}"):
            yield partial(self._series, poison)

    def cost(self, poison: float) -> Iterator[Step]:
        """Yield the cost of findings, if it is missing."""
        if not self.store.has(COST, f"poison {poison:g}"):
            yield partial(self._cost, poison)

    def left_out(self, kinds: Sequence[str]) -> Iterator[Step]:
        """Yield a training without each of these kinds, by default of a few kinds."""
        for kind in require_kinds(self.images, kinds or LEFT_OUT_KINDS):
            if not self.store.has(LEFT_OUT, kind):
                yield partial(self._left_out, kind)

    def _single(self, cell: FlaggingCell) -> None:
        models = self._models(cell.poison)
        methods = models.methods
        self.log(f"comparing {len(methods)} methods: {cell.key}")
        result = run_cell(cell, self.images, methods, self.args.draws)
        setting = {"poison": cell.poison, "kind": cell.kind, "rate": cell.rate}
        bundle = {"bundle": models.bundle.bundle_id}
        self.store.add(SINGLE, cell.key, {**setting, **bundle, **result})

    def _series(self, poison: float) -> None:
        models = self._models(poison)
        self.log("judging series")
        self.store.add(SERIES, f"poison {poison:g}", run_series(self.images, models))

    def _cost(self, poison: float) -> None:
        models = self._models(poison)
        self.log("measuring the cost of findings")
        files = [p for p in models.inspector.paths if p is not None]
        self.store.add(COST, f"poison {poison:g}", run_cost(models.bundle, files))

    def _left_out(self, kind: str) -> None:
        self.log(f"training without {kind}")
        smaller = budget_of(self.args, epochs=self.args.left_out_epochs)
        folder = self.args.out / "models"
        limit = self.args.left_out_limit
        result = run_left_out(folder, kind, self.images, smaller, self.log, limit)
        self.store.add(LEFT_OUT, kind, result)

    def _models(self, poison: float) -> Models:
        if poison not in self._trained:
            self._trained.clear()  # the models of one share fill enough memory
            folder = self.args.out / "models" / f"poison-{poison:g}"
            budget = budget_of(self.args)
            models = train_models(folder, self.images, poison, budget, self.log)
            self._trained[poison] = models
        return self._trained[poison]


def budget_of(args: argparse.Namespace, epochs: int | None = None) -> TrainingBudget:
    """Return the settings of the trainings, with at most `epochs` passes where given."""
    config = chosen_recipe(
        args.recipe,
        size=args.size,
        seed=args.seed,
        epochs=args.epochs,
        cluster_epochs=args.cluster_epochs,
        clusters=args.clusters,
    )
    if epochs is not None:
        config = replace(config, epochs=min(epochs, config.epochs))
    return TrainingBudget(config, args.supervised_epochs, args.bundle)


def _bundle_id(args: argparse.Namespace) -> str | None:
    if args.bundle is None:
        return None
    bundle = load_bundle(args.bundle)
    trained = bundle.manifest.lineage.get("configuration", {})
    if (trained.get("seed"), trained.get("size")) != (args.seed, args.size):
        raise ConfigurationError(
            f"--bundle {args.bundle} was trained with seed {trained.get('seed')} and "
            f"tiles of {trained.get('size')} pixels: its unseen patients differ from "
            "those of --seed and --size"
        )
    return bundle.bundle_id


def setup_of(args: argparse.Namespace, images: BenchmarkImages) -> dict[str, Any]:
    """Return the settings of the results; `key` identifies those that must not change."""
    split, budget = images.split, budget_of(args)
    bundle = _bundle_id(args)
    fixed = [
        images.snapshot.digest(),
        budget.config.digest(),
        args.supervised_epochs,
        bundle,
    ]
    key = json.dumps(fixed)
    return {
        "key": hashlib.sha256(key.encode()).hexdigest()[:16],
        "version": veritag.__version__,
        "recipe": args.recipe,
        "bundle": bundle,
        "size": args.size,
        "seed": args.seed,
        "draws": args.draws,
        "supervised_epochs": args.supervised_epochs,
        "cleanlab": has_cleanlab(),
        "images": {
            part: int(getattr(split, part).sum())
            for part in ("training", "calibration", "unseen", "new_stations")
        },
        "patients": {
            "unseen": len(np.unique(images.patients[images.unseen])),
            "new_stations": len(np.unique(images.patients[~images.unseen])),
        },
        "values": {tag: len(images.vocabulary(tag)) for tag in TAGS},
    }
