"""Synthetic series of made-up patients: anatomy-like pictures with correct tags.

They are drawn, not scanned, so they hold no patient data. The same arguments give the
same bytes. Used by the demo, by training, by tests and as the load of benchmarks.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from veritag.phantoms.canvas import Bend, Canvas
from veritag.phantoms.instance import encode_instance
from veritag.phantoms.study_kinds import BY_NAME, PhantomKind

KINDS: tuple[str, ...] = tuple(BY_NAME)


def phantom_picture(
    kind: str, rng: np.random.Generator, size: int | None = None
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return stored values of one picture of a random patient, bright as displayed.

    Parameters
    ----------
    size
        Longer side in pixels; the kind's own by default.
    """
    patient = [int(rng.integers(2**31)) for _ in range(2)]
    level = float(rng.random())
    return _picture(BY_NAME[kind], patient, level, int(rng.integers(2**31)), size)


def phantom_series(
    kind: str,
    *,
    patient: int,
    instances: int,
    seed: int,
    size: int | None = None,
) -> list[Dataset]:
    """Return the instances of one series, alone in its study.

    Parameters
    ----------
    patient
        Number of the made-up patient; another number is another anatomy.
    size
        Longer side in pixels; the kind's own by default.
    """
    phantom = BY_NAME[kind]
    key = [seed, patient, KINDS.index(kind)]
    levels = np.linspace(0.05, 0.95, instances) if instances > 1 else np.array([0.5])
    return [
        encode_instance(phantom, _picture(phantom, key, float(level), n, size), key, n)
        for n, level in enumerate(levels)
    ]


def expected_tags(kind: str) -> dict[str, str]:
    """Return keyword to value of the tags that a study of this kind must carry."""
    return BY_NAME[kind].expected()


def plant_wrong_tag(datasets: Sequence[Dataset], keyword: str, value: Any) -> None:
    """Write a wrong value into every instance; None deletes the element."""
    for ds in datasets:
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)


def _picture(
    kind: PhantomKind,
    patient: Sequence[int],
    level: float,
    instance: int,
    size: int | None,
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Draw one slice: the same anatomy for every slice of a patient, but other noise."""
    scale = 1.0 if size is None else size / max(kind.rows, kind.columns)
    anatomy = np.random.default_rng(patient)
    noise = np.random.default_rng([*patient, instance])
    canvas = Canvas(
        max(round(kind.rows * scale), 8),
        max(round(kind.columns * scale), 8),
        Bend.draw(anatomy, kind.bend),
        noise,
    )
    kind.draw(canvas, anatomy, level)
    canvas.image = canvas.smooth(canvas.image, 0.004)
    canvas.noise(kind.noise, kind.rows)
    values = (canvas.image - kind.low) / (kind.high - kind.low) * kind.peak
    stored = np.clip(np.round(values), 0, kind.peak)
    return stored.astype(np.uint8) if kind.peak <= 255 else stored.astype(np.uint16)
