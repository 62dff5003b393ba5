"""Cost of constraints from tags, compared with the full matrix of the `gower` package.

Tags are drawn as in a hospital: BodyPartExamined in a third of radiographs and four
fifths of tomographic images, orientation and position in tomographic images only, exposure
in X-ray images, Manufacturer nearly always. The package needs the full matrix before a
pair can be chosen, so it gets fewer instances. It supports neither missing nor negative
values, so it gets the same rows with missing ones filled in and cosines shifted. Both
distances of each pair are checked to be equal.

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
    # Share of images in the radiology of a general hospital.
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
"""Number of tomographic images with the same orientation and exposure."""


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
    """Return the result of the work, its seconds, and its peak of memory.

    The peak is from a second run, because tracing allocations takes time.
    """
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, {"seconds": seconds, "peak_mb": peak / 1e6}


def described(constraints: Constraints, truth: np.ndarray) -> dict[str, object]:
    """Return the properties of constraints that the table shows."""
    report = constraints.report
    pure = purity(constraints, truth)
    return {
        "must_link": report["must_link"],
        "cannot_link": report["cannot_link"],
        "distinct": report["distinct"],
        "must_purity": pure.must_link,
        "cannot_purity": pure.cannot_link,
        "within_modality": report["within_modality"],
        "top_must_pair": report["top_tuple_pair"]["must_link"],
        "contradictions": report["contradictions"],
    }


def sampled(n: int, n_constraints: int) -> dict[str, object]:
    """Sample constraints from n instances with each setting; return a table."""
    samples, truth = draw_samples(n, seed=0)
    settings = {"default": ConstraintConfig(), "paper's": PAPER_CONSTRAINTS}
    table: dict[str, object] = {}
    for name, config in settings.items():
        constraints, cost = measured(
            partial(sample_constraints, samples, n_constraints, config=config, seed=1)
        )
        table[f"{name} setting, {n}"] = {**cost, **described(constraints, truth)}
    return table


def compared(n: int) -> dict[str, object]:
    """Return the cost of full matrices of n rows, by the package and by Veritag."""
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
    difference = max(
        float(np.abs(a**2 - b).max()) for a, b in zip(ours, theirs, strict=True)
    )
    return {
        f"gower package, all pairs of {n}": their_cost,
        f"gower_distance, all pairs of {n}": our_cost,
        "largest difference": difference,
    }


def main() -> None:
    """Run the benchmark."""
    arguments = parser(__doc__)
    arguments.add_argument("--instances", type=int, default=100_000)
    arguments.add_argument("--constraints", type=int, default=20_000)
    arguments.add_argument("--matrix", type=int, default=10_000)
    options = arguments.parse_args()
    table = sampled(options.instances, options.constraints)
    if options.matrix:
        table |= compared(options.matrix)
    show(table, as_json=options.json)


if __name__ == "__main__":
    main()
