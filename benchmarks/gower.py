"""Constraints from tags at scale, against the full matrix of the `gower` package.

Tags are drawn as a hospital sends them: BodyPartExamined in a third of radiographs and
four fifths of tomographic images, orientation and position in tomographic images alone,
exposure in those made by X-rays, Manufacturer nearly always. The package has to build the
full matrix before a pair can be chosen, so it gets fewer instances; it knows neither
missing nor negative values, so it gets the same rows with missing ones filled in and the
cosines shifted. That both then say the same of each pair is checked.

python -m benchmarks.gower [--instances 100000] [--constraints 20000] [--matrix 10000]
                           [--json]
"""

import importlib
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.running import parser, show
from model_training.constraints.gower import gower_distance
from model_training.constraints.sample_constraints import (
    PAPER_CONSTRAINTS,
    ConstraintConfig,
    Constraints,
    purity,
    sample_constraints,
)
from model_training.constraints.tag_encoding import fit_tags
from model_training.snapshots.samples import Sample

KINDS = {
    # Share of images, from the radiology of a general hospital.
    ("CR", "CHEST"): 12, ("CR", "HAND"): 6, ("CR", "KNEE"): 6, ("CR", "SHOULDER"): 4,
    ("CR", "FOOT"): 4, ("CR", "PELVIS"): 3, ("CR", "LSPINE"): 3, ("CR", "ABDOMEN"): 2,
    ("DX", "CHEST"): 6, ("DX", "HIP"): 2, ("MG", "BREAST"): 4, ("CT", "HEAD"): 10,
    ("CT", "CHEST"): 10, ("CT", "ABDOMEN"): 12, ("MR", "BRAIN"): 10,
    ("MR", "LSPINE"): 6, ("MR", "KNEE"): 4, ("XA", "HEART"): 4, ("US", "LIVER"): 3,
    ("NM", "HEART"): 1,
}  # fmt: skip
TOMOGRAPHIC = ("CT", "MR")
X_RAY = ("CR", "DX", "MG", "CT", "XA")
VENDORS = ("SIEMENS", "GE", "PHILIPS", "CANON", "AGFA")
PLANES = ((1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1))
SERIES = 20
"""Tomographic images with the same orientation and exposure."""


def draw_samples(n: int, seed: int) -> tuple[list[Sample], np.ndarray]:
    """Return samples and their true modality and region, of shape (N,)."""
    rng = np.random.default_rng(seed)
    kinds = list(KINDS)
    share = np.array(list(KINDS.values())) / sum(KINDS.values())
    samples: list[Sample] = []
    truth: list[str] = []
    while len(samples) < n:
        modality, region = kinds[rng.choice(len(kinds), p=share)]
        series = SERIES if modality in TOMOGRAPHIC else 1
        sample = _draw_sample(modality, region, rng)
        samples += [sample] * series
        truth += [f"{modality.replace('DX', 'CR')} {region}"] * series
    return samples[:n], np.array(truth[:n])


def _draw_sample(modality: str, region: str, rng: np.random.Generator) -> Sample:
    tomographic = modality in TOMOGRAPHIC
    tags, numbers = {"Modality": modality}, dict[str, tuple[float, ...]]()
    if rng.random() < (0.8 if tomographic else 0.34):
        tags["BodyPartExamined"] = region
    if rng.random() < 0.98:
        tags["Manufacturer"] = VENDORS[
            int(rng.choice(5, p=[0.4, 0.3, 0.2, 0.05, 0.05]))
        ]
    if tomographic:
        tags["PatientPosition"] = "FFS" if rng.random() < 0.2 else "HFS"
        plane = PLANES[0 if modality == "CT" else int(rng.integers(3))]
        tilted = np.array(plane) + rng.normal(0, 0.05, 6)
        numbers["ImageOrientationPatient"] = tuple(np.clip(tilted, -1, 1).tolist())
    if modality == "MR":
        tags["MRAcquisitionType"] = "3D" if rng.random() < 0.3 else "2D"
    if modality in X_RAY and rng.random() < 0.7:
        numbers["ExposureTime"] = (float(round(rng.lognormal(4 + 2 * tomographic))),)
        numbers["Exposure"] = (float(round(rng.lognormal(2 + tomographic))),)
    return Sample(tags=tags, patient="", source="drawn", numbers=numbers)


def measured(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Return what the work returns, its seconds, and its peak of memory.

    The peak comes from a second run, as watching every allocation takes time.
    """
    began = time.perf_counter()
    done = work()
    seconds = time.perf_counter() - began
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return done, {"seconds": seconds, "peak_mb": peak / 1e6}


def described(made: Constraints, truth: np.ndarray) -> dict[str, object]:
    """Return the figures of constraints that the table shows."""
    told = made.report
    held = purity(made, truth)
    return {
        "must_link": told["must_link"],
        "cannot_link": told["cannot_link"],
        "distinct": told["distinct"],
        "must_purity": held.must_link,
        "cannot_purity": held.cannot_link,
        "within_modality": told["within_modality"],
        "top_must_pair": told["top_tuple_pair"]["must_link"],
        "contradictions": told["contradictions"],
    }


def sampled(n: int, n_constraints: int) -> dict[str, object]:
    """Sample constraints from n instances by each setting; return the figures."""
    samples, truth = draw_samples(n, seed=0)
    settings = {"default": ConstraintConfig(), "paper's": PAPER_CONSTRAINTS}
    table: dict[str, object] = {}
    for name, config in settings.items():
        made, cost = measured(
            partial(sample_constraints, samples, n_constraints, config=config, seed=1)
        )
        table[f"{name} setting, {n}"] = {**cost, **described(made, truth)}
    return table


def compared(n: int) -> dict[str, object]:
    """Return what full matrices of n complete rows cost, by the package and by us."""
    package = importlib.import_module("gower")
    samples, _ = draw_samples(n, seed=0)
    encoding = fit_tags(samples, ranges="minmax", concepts=False)
    rows = np.nan_to_num(encoding.transform(samples))
    categorical = encoding.columns.categorical
    rows[:, ~categorical] += 1.0
    theirs, their_cost = measured(
        partial(package.gower_matrix, rows, cat_features=categorical)
    )
    ours, our_cost = measured(partial(gower_distance, rows, categorical=categorical))
    apart = max(
        float(np.abs(a**2 - b).max()) for a, b in zip(ours, theirs, strict=True)
    )
    return {
        f"gower package, all pairs of {n}": their_cost,
        f"gower_distance, all pairs of {n}": our_cost,
        "largest difference": apart,
    }


def main() -> None:
    """Run the benchmark."""
    arguments = parser(__doc__)
    arguments.add_argument("--instances", type=int, default=100_000)
    arguments.add_argument("--constraints", type=int, default=20_000)
    arguments.add_argument("--matrix", type=int, default=10_000)
    given = arguments.parse_args()
    table = sampled(given.instances, given.constraints)
    if given.matrix:
        table |= compared(given.matrix)
    show(table, as_json=given.json)


if __name__ == "__main__":
    main()
