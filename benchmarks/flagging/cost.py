"""Cost of findings: the time that they add to the inspection of an instance.

The bare inspection reads a file, makes its tile and runs the model. Findings add the
tags, hints and checks of the instance, its verdict, and its share of judging the series.
Both are timed alternately for each file, on one thread.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from veritag.bundles.bundle import ModelBundle
from veritag.dicom.read_instance import open_instance
from veritag.errors import RejectError
from veritag.findings import Verdict
from veritag.judging.judge import judge_series
from veritag.pixels.tile import make_tile
from veritag.settings import Settings
from worker.inference import Model
from worker.preparation import Prepared, prepare
from worker.verdicts import verdicts_of

FILES = 200
ROUNDS = 6
LIMIT_MB: int = Settings.model_fields["max_frame_mb"].default


@dataclass
class Seconds:
    """Seconds spent in one round, by purpose."""

    bare: float = 0.0
    checks: float = 0.0
    verdict: float = 0.0
    judging: float = 0.0
    _since: float = field(default_factory=time.perf_counter)

    def lap(self) -> float:
        """Return the seconds since the last call."""
        now = time.perf_counter()
        elapsed, self._since = now - self._since, now
        return elapsed

    @property
    def added(self) -> float:
        """Time of findings as a share of the bare inspection."""
        return (self.checks + self.verdict + self.judging) / self.bare


def run_cost(bundle: ModelBundle, files: Sequence[Path]) -> dict[str, Any]:
    """Return milliseconds per instance by purpose, and the share that findings add."""
    model = Model(bundle)
    usable = [f for f in files if _is_usable(f, bundle)][:FILES]
    if not usable:
        return {"files": 0}
    rounds = [_round(model, usable, turn) for turn in range(ROUNDS)]
    added = [one.added for one in rounds]
    result: dict[str, Any] = {
        "files": len(usable),
        "series": _series_count(model, usable),
    }
    for name in ("bare", "checks", "verdict", "judging"):
        seconds = statistics.median(getattr(one, name) for one in rounds)
        result[f"{name}_ms"] = round(1000 * seconds / len(usable), 3)
    result["added"] = round(statistics.median(added), 4)
    result["added_range"] = [round(min(added), 4), round(max(added), 4)]
    return result


def _is_usable(path: Path, bundle: ModelBundle) -> bool:
    try:
        make_tile(open_instance(path), bundle.manifest.preprocessing)
    except RejectError:
        return False
    return True


def _round(model: Model, files: Sequence[Path], turn: int) -> Seconds:
    spent, bundle = Seconds(), model.bundle
    series: dict[str | None, list[Verdict]] = {}
    for number, path in enumerate(files):
        prepared = _instance(model, path, number + turn, spent)
        outputs = model.run(prepared.tile[np.newaxis])  # type: ignore[index]
        spent.bare += spent.lap()
        judged = verdicts_of(bundle, [prepared], outputs)
        series.setdefault(prepared.series_instance_uid, []).extend(judged)
        spent.verdict += spent.lap()
    for members in series.values():
        judge_series(bundle.manifest, members)
    spent.judging += spent.lap()
    return spent


def _instance(model: Model, path: Path, number: int, spent: Seconds) -> Prepared:
    """Prepare a file twice, bare and as the product does; the difference is the checks.

    The second one finds the file in the page cache, so the order alternates.
    """
    preprocessing = model.bundle.manifest.preprocessing
    bare = 0.0
    for turn in range(2):
        spent.lap()
        if turn == number % 2:
            make_tile(open_instance(path), preprocessing, max_frame_mb=LIMIT_MB)
            bare = spent.lap()
        else:
            prepared = prepare(
                path, preprocessing, max_frame_mb=LIMIT_MB, identify=False
            )
            complete = spent.lap()
    spent.bare += bare
    spent.checks += complete - bare
    return prepared


def _series_count(model: Model, files: Sequence[Path]) -> int:
    preprocessing = model.bundle.manifest.preprocessing
    prepared = [
        prepare(f, preprocessing, max_frame_mb=LIMIT_MB, identify=False) for f in files
    ]
    return len({one.series_instance_uid for one in prepared})
