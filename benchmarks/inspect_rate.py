"""Rate of `veritag inspect` and of the worker, compared with a bare loop.

The bare loop is the minimum without a product: pydicom reads and decodes, the tile is
made, ONNX Runtime runs; in one thread, and with a pool of decoding threads. `veritag
inspect` also reads the tags and judges the series. The worker handles messages of 32
instances and stores their verdicts in SQLite records, without a broker. All use the same
files and bundle. Repetitions are interleaved, because other load varies, and the better
of the two bare loops is the reference.

    python -m benchmarks.inspect_rate [--bundle DIR] [--size 256] [--files 200]
                                      [--repeat 5] [--json]
                                      [--syntax native|jpeg-ls|jpeg-2000]

Compressed files are read in decoding processes; `in_threads` does the same without them,
which shows their cost.

With `--size` an encoder of that tile size and random weights replaces the bundle's: its
results are meaningless, its time is not.
"""

import argparse
import hashlib
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnxruntime as ort
import pydicom
import structlog
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
)

from benchmarks.ct_files import SYNTAXES, write_ct
from veritag.bundles.bundle import (
    ModelBundle,
    load_bundle,
    starter_bundle_path,
)
from veritag.judging.judge import judge_series
from veritag.messaging.messages import MAX_INSTANCES, InspectInstances
from veritag.pixels.decoding_process import DecodingLimits
from veritag.pixels.tile import make_tile
from veritag.records.reception.registration import register
from veritag.settings import Settings
from veritag.storage.archive import Archive
from veritag.storage.stored_instance import Provenance, StoredInstance
from worker.inference import Model
from worker.pipeline import Pipeline
from worker.process import open_context
from worker.tasks import inspect_instances


def bare_loop(
    bundle: ModelBundle,
    session: ort.InferenceSession,
    files: Sequence[Path],
    threads: int,
) -> None:
    """Read, decode and make tiles in a pool of threads; run the model for each file."""
    pre = bundle.manifest.preprocessing

    def tile(path: Path) -> np.ndarray:
        return make_tile(pydicom.dcmread(path), pre)

    with ThreadPoolExecutor(threads) as pool:
        for one in pool.map(tile, files):
            session.run(["soft_assignment", "distance"], {"tiles": one[None]})


def bare_loop_one_thread(
    bundle: ModelBundle, session: ort.InferenceSession, files: Sequence[Path]
) -> None:
    """Read, decode and run the model for one file after the other."""
    pre = bundle.manifest.preprocessing
    for path in files:
        one = make_tile(pydicom.dcmread(path), pre)
        session.run(["soft_assignment", "distance"], {"tiles": one[None]})


def warm(threads: int) -> Pipeline:
    """Return a pipeline whose processes have started."""
    pipeline = Pipeline(threads, 1024, DecodingLimits(60, 4096))
    wait(pipeline.warm(threads))
    return pipeline


def inspect(model: Model, files: Sequence[Path], pipeline: Pipeline) -> None:
    """Inspect as `veritag inspect` does, including the judgement."""
    keyed = ((path, path) for path in files)
    outcomes = list(pipeline.run(model, keyed, identify=lambda _: False))
    verdicts = [one.verdict for one in outcomes if one.verdict is not None]
    assert len(verdicts) == len(files)
    judge_series(model.bundle.manifest, verdicts)


def inspect_in_threads(model: Model, files: Sequence[Path], pipeline: Pipeline) -> None:
    """Inspect all files in threads, without decoding processes."""
    with patch("worker.pipeline.is_small_native", lambda _: True):
        inspect(model, files, pipeline)


def recorded(bundle: Path, files: Sequence[Path], threads: int) -> Callable[[], None]:
    """Register the files in new records; return the worker's inspection of them."""
    home = Path(tempfile.mkdtemp(dir=files[0].parent))
    context = open_context(
        Settings(data_dir=home, bundle_dir=bundle, decode_threads=threads)
    )
    context.records.migrate()
    context.bundle.current()
    wait(context.pipeline.warm(threads))
    ids = register(context.records, [_stored(path, home) for path in files]).new_ids

    def work() -> None:
        for start in range(0, len(ids), MAX_INSTANCES):
            message = InspectInstances(ids[start : start + MAX_INSTANCES])
            inspect_instances(context, message.encode())
        context.pipeline.close()
        context.records.close()

    return work


def _stored(path: Path, home: Path) -> StoredInstance:
    digest = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    now = datetime.now(UTC)
    return StoredInstance(
        spool_name=path.name,
        digest=digest,
        archive_key=Archive(home / "archive").put(path, digest),
        size=path.stat().st_size,
        sop_class_uid=CTImageStorage,
        sop_instance_uid=f"1.2.3.{path.stem}",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3",
        provenance=Provenance("BENCHMARK", "VERITAG", "127.0.0.1", "1", now),
    )


Variant = Callable[[], Callable[[], None]]
"""Prepares one repetition and returns the function to measure."""


def main() -> None:
    """Measure and print a table, or one JSON object."""
    options = _arguments()
    logging.disable(logging.INFO)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
    )
    if options.size:
        from benchmarks.untrained import untrained_bundle  # loads torch

        options.bundle = untrained_bundle(options.size, Path(tempfile.mkdtemp()))
    bundle = load_bundle(options.bundle)
    model, session = Model(bundle), _session(bundle)
    rng = np.random.default_rng(1)
    threads = options.threads
    with tempfile.TemporaryDirectory() as folder, closing(warm(threads)) as pipeline:
        files = [Path(folder) / f"{n}.dcm" for n in range(options.files)]
        for path in files:
            write_ct(path, rng, options.syntax)
        variants: dict[str, Variant] = {
            "bare": lambda: lambda: bare_loop(bundle, session, files, threads),
            "bare_one_thread": lambda: (
                lambda: bare_loop_one_thread(bundle, session, files)
            ),
            "inspect": lambda: lambda: inspect(model, files, pipeline),
            "in_threads": lambda: lambda: inspect_in_threads(model, files, pipeline),
            "worker": lambda: recorded(options.bundle, files, threads),
        }
        show_rates(
            compare(variants, options.files, options.repeat), as_json=options.json
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=starter_bundle_path())
    parser.add_argument("--size", type=int)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--syntax", choices=("native", *SYNTAXES), default="native")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _session(bundle: ModelBundle) -> ort.InferenceSession:
    """Return a session of one thread, as the product has."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(
        str(bundle.model_path), options, ["CPUExecutionProvider"]
    )


def compare(variants: dict[str, Variant], files: int, repeat: int) -> dict[str, Any]:
    """Return rates, CPU times and ratios, without the warm-up round."""
    walls: dict[str, list[float]] = {name: [] for name in variants}
    cpu: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(repeat + 1):
        for name, prepare in variants.items():
            run = prepare()
            wall, cpu_start = time.perf_counter(), time.process_time()
            run()
            walls[name].append(time.perf_counter() - wall)
            cpu[name].append(time.process_time() - cpu_start)
    return {
        name: {
            "per_second": round(files / statistics.median(walls[name][1:]), 1),
            "cpu_ms": round(1000 * statistics.median(cpu[name][1:]) / files, 2),
            "ratio": _ratio(walls, name),
            "cpu_ratio": _ratio(cpu, name),
        }
        for name in variants
    }


def _ratio(seconds: dict[str, list[float]], name: str) -> float:
    """Return the median over rounds of the better bare loop's time over this time."""
    bare = map(min, seconds["bare"][1:], seconds["bare_one_thread"][1:])
    return round(
        statistics.median(
            b / own for b, own in zip(bare, seconds[name][1:], strict=True)
        ),
        2,
    )


def show_rates(figures: dict[str, Any], *, as_json: bool) -> None:
    """Print the figures."""
    if as_json:
        print(json.dumps(figures))
        return
    print(f"{'':16} {'CT/s':>8} {'ratio':>6} {'CPU ms':>7} {'ratio':>6}")
    for name, row in figures.items():
        print(
            f"{name:16} {row['per_second']:8.1f} {row['ratio']:6.2f} "
            f"{row['cpu_ms']:7.2f} {row['cpu_ratio']:6.2f}"
        )


if __name__ == "__main__":
    main()
