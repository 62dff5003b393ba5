"""Cost of a snapshot of a large archive: its plan, its samples, its tiles.

Records of synthetic instances are written into a temporary SQLite database. Tiles are
noise, which no file system can compress.

python -m benchmarks.snapshot_plan [--instances 1000000] [--tiles 200000] [--json]
"""

import hashlib
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.running import parser, show
from model_training.process.publish_folder import publish_folder
from model_training.snapshots.archive.snapshot_builder import sample_of
from model_training.snapshots.archive.snapshot_plan import plan_snapshot
from model_training.snapshots.image_sampling import SamplingConfig
from model_training.snapshots.samples import Sample, SampleInterner
from model_training.snapshots.snapshot_files import load_snapshot, new_snapshot
from model_training.snapshots.split import split_samples
from model_training.snapshots.tile_store import TileStore
from veritag.pixels.preprocessing import Preprocessing
from veritag.records import Records
from veritag.records.schema import instances, series, studies, verdicts
from veritag.records.training.training_data import (
    LearnableInstance,
    learnable_instances,
)

KINDS = (
    # Modality, region, share of the images in per cent, images of a series.
    ("CR", "CHEST", 30, 2), ("DX", None, 12, 2), ("CT", "HEAD", 12, 200),
    ("CT", "CHEST", 14, 300), ("CT", "ABDOMEN", 10, 300), ("MR", "HEAD", 8, 150),
    ("MR", "KNEE", 5, 120), ("US", "ABDOMEN", 4, 30), ("MG", "BREAST", 3, 4),
    ("MR", "SPINE", 1, 60), ("XA", "HEART", 0.5, 20), ("NM", "WHOLEBODY", 0.3, 2),
    ("PT", "CHEST", 0.15, 200), ("CR", "HAND", 0.05, 2),
)  # fmt: skip
SERIES_AT_ONCE = 2000
ROWS_AT_ONCE = 1024
EVERYTHING = replace(
    SamplingConfig(), max_per_series=10**9, max_per_kind=10**9, max_images=10**9
)
Q = (0.04,) * 25


def synthetic_series(count: int) -> Iterator[list[dict[str, Any]]]:
    """Yield series, each as rows of its instances with the values of all tables."""
    rng = random.Random(1)
    weights = [share / length for _, _, share, length in KINDS]
    total, number = 0, 0
    while total < count:
        modality, region, _, length = rng.choices(KINDS, weights)[0]
        number += 1
        size = min(count - total, max(1, int(length * rng.uniform(0.5, 1.5))))
        tags: dict[str, Any] = {"Modality": modality, "Manufacturer": "SIEMENS"}
        tags |= {"BodyPartExamined": region} if region else {}
        if modality in {"CT", "MR"}:
            tags["ImageOrientationPatient"] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        if modality in {"CT", "CR", "DX", "MG"}:
            tags |= {"ExposureTime": float(rng.randrange(1, 900)), "Exposure": 5.0}
        yield [{"id": total + n + 1, "series_id": number, **tags} for n in range(size)]
        total += size


def fill(records: Records, count: int) -> None:
    """Write synthetic studies, series, instances and verdicts."""
    remaining = synthetic_series(count)
    while part := list(islice(remaining, SERIES_AT_ONCE)):
        with records.begin(durable=False) as connection:
            for table, rows in (
                (studies, [_study(one[0]) for one in part]),
                (series, [_series(one[0]) for one in part]),
                (instances, [_instance(row) for one in part for row in one]),
                (verdicts, [_verdict(row) for one in part for row in one]),
            ):
                connection.execute(records.insert(table), rows)


NOW = datetime.now(UTC)
SPAN = {"first_received_at": NOW, "last_received_at": NOW}


def _study(row: dict[str, Any]) -> dict[str, Any]:
    number = row["series_id"]
    uid = f"1.2.840.99.{number}"
    patient = f"P{number // 3}"
    return {"id": number, "study_instance_uid": uid, "patient_id": patient, **SPAN}


def _series(row: dict[str, Any]) -> dict[str, Any]:
    number = row["series_id"]
    return {
        "id": number,
        "study_id": number,
        "series_instance_uid": f"1.2.840.99.{number}.1",
        "modality": row["Modality"],
        "body_part_examined": row.get("BodyPartExamined"),
        "manufacturer": row["Manufacturer"],
        "station_name": f"ROOM {number % 40}",
        "opened_at": NOW,
        "settled_at": NOW,
        **SPAN,
    }


def _instance(row: dict[str, Any]) -> dict[str, Any]:
    key = digest(row["id"])
    return {
        "id": row["id"],
        "series_id": row["series_id"],
        "sop_instance_uid": f"1.2.840.99.{row['series_id']}.1.{row['id']}",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "digest": key,
        "archive_key": f"{key[:3]}/{key}.dcm",
        "size": 524_288,
        "received_at": NOW,
        "indexed_at": NOW,
        "inspected_at": NOW,
    }


def _verdict(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "instance_id": row["id"],
        "bundle_id": "vb-0123456789abcdef",
        "status": "inspected",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "tags": {k: v for k, v in row.items() if k not in {"id", "series_id"}},
        "cluster": 1,
        "soft_assignment": Q,
        "created_at": NOW,
    }


def digest(number: int) -> str:
    """Return the digest of a synthetic instance."""
    return hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()


def memory_mb() -> float:
    """Return the peak of resident memory in MB, including mapped files."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


class Stopwatch:
    """Stopwatch that restarts at each call."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self) -> float:
        """Return the seconds since the last call."""
        elapsed, self._start = time.monotonic() - self._start, time.monotonic()
        return elapsed


def measure_plan(folder: Path, count: int) -> dict[str, Any]:
    """Plan a snapshot of synthetic instances, then one of all of them."""
    records = Records.open(f"sqlite:///{folder / 'records.sqlite3'}")
    records.migrate()
    fill(records, count)
    before = memory_mb()
    watch = Stopwatch()
    plan = plan_snapshot(records, SamplingConfig())
    chosen = {"chosen": len(plan), "seconds": watch(), "peak_mb": memory_mb()}
    ids = plan_snapshot(records, EVERYTHING).ids.tolist()
    watch()
    share = SampleInterner()
    samples = [share(sample_of(one, ())) for one in learnable_instances(records, ids)]
    all_samples = {"seconds": watch(), "peak_mb": memory_mb()}
    split_samples(samples, 1)
    records.close()
    return {
        "peak_mb_before": before,
        "plan": chosen,
        "all_samples": all_samples,
        "split": {"seconds": watch()},
    }


def measure_tiles(folder: Path, count: int) -> dict[str, Any]:
    """Store tiles, and write and load a snapshot of them."""
    preprocessing = Preprocessing()
    shape = (ROWS_AT_ONCE, preprocessing.size, preprocessing.size)
    noise = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    digests = [digest(number) for number in range(count)]
    parts = [digests[n : n + ROWS_AT_ONCE] for n in range(0, count, ROWS_AT_ONCE)]
    # One sample for all images, because only the writing is measured.
    (row,) = next(synthetic_series(1))
    sample = _sample(row)
    watch = Stopwatch()
    with TileStore.open(folder / "tiles", preprocessing) as store:
        for part in parts:
            store.append(part, list(noise[: len(part)]))
        stored = watch()
        with new_snapshot(folder / "snapshots", preprocessing) as writer:
            for part in parts:
                writer.add(store.read(store.find(part))[0], [sample] * len(part))
            path = folder / "snapshots" / writer.seal({})
            publish_folder(writer.work, path)
    written = watch()
    load_snapshot(path)
    size = sum(file.stat().st_size for file in path.iterdir())
    return {
        "keep_us_per_tile": 1e6 * stored / count,
        "write_us_per_image": 1e6 * written / count,
        "load_us_per_image": 1e6 * watch() / count,
        "bytes_per_image": size / count,
    }


def _sample(row: dict[str, Any]) -> Sample:
    tags = _verdict(row)["tags"]
    tags["ImageOrientationPatient"] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    return sample_of(LearnableInstance(1, "", "", 1, "P1", "SIEMENS", "1", tags), ())


def main() -> None:
    """Run the benchmark."""
    arguments = parser(__doc__)
    arguments.add_argument("--instances", type=int, default=1_000_000)
    arguments.add_argument("--tiles", type=int, default=200_000)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="veritag-snapshot-") as folder:
        result = measure_plan(Path(folder), options.instances)
        size = (Path(folder) / "records.sqlite3").stat().st_size
        result["records_bytes_per_instance"] = size / options.instances
        result |= {"tiles": measure_tiles(Path(folder), options.tiles)}
    show(result, as_json=options.json)


if __name__ == "__main__":
    main()
