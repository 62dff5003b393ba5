"""Rate of `veritag inspect`'s path against the bare loop, on the same files.

The bare loop is what one would write without a product around it: pydicom reads and
decodes, the tile is made, ONNX Runtime runs. Both use the same bundle and as many
threads; repetitions are interleaved, since other load comes and goes.

    python benchmarks/inspect_rate.py [--bundle DIR] [--files 200] [--repeat 5]
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from veritag.bundle import ModelBundle, load_bundle, starter_bundle_path
from veritag.judge import judge_series
from veritag.tile import make_tile
from worker.inference import Model
from worker.pipeline import Pipeline

SIZE = 512


def write_ct(path: Path, rng: np.random.Generator) -> None:
    """Write one CT slice of 512 x 512 raw pixels, 525 kB."""
    y, x = np.mgrid[-1:1:512j, -1:1:512j]
    body = ((x / 0.8) ** 2 + (y / 0.6) ** 2) < 1
    pixels = np.where(body, 1040, 24) + rng.normal(0, 20, (SIZE, SIZE))
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.StudyInstanceUID = ds.SeriesInstanceUID = "1.2.3"
    ds.Modality, ds.BodyPartExamined, ds.PatientPosition = "CT", "CHEST", "HFS"
    ds.Manufacturer, ds.ExposureTime, ds.Exposure = "BENCHMARK", 500, 100
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [0, 0, 0]
    ds.PixelSpacing, ds.SliceThickness = [0.8, 0.8], 1.0
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    ds.Rows = ds.Columns = SIZE
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelRepresentation = 0
    ds.PixelData = np.clip(pixels, 0, 4095).astype("<u2").tobytes()
    ds.save_as(path, enforce_file_format=True)


def bare_loop(
    bundle: ModelBundle,
    session: ort.InferenceSession,
    files: Sequence[Path],
    threads: int,
) -> None:
    """Read, decode and tile in a pool of threads; one run of the model per file."""
    pre = bundle.manifest.preprocessing

    def tile(path: Path) -> np.ndarray:
        return make_tile(pydicom.dcmread(path), pre)

    with ThreadPoolExecutor(threads) as pool:
        for one in pool.map(tile, files):
            session.run(["soft_assignment", "distance"], {"tiles": one[None]})


def bare_loop_one_thread(
    bundle: ModelBundle, session: ort.InferenceSession, files: Sequence[Path]
) -> None:
    """Do one file after the other in a plain loop."""
    pre = bundle.manifest.preprocessing
    for path in files:
        one = make_tile(pydicom.dcmread(path), pre)
        session.run(["soft_assignment", "distance"], {"tiles": one[None]})


def ours(model: Model, files: Sequence[Path], threads: int) -> None:
    """Inspect as `veritag inspect` and the worker do, the judgement included."""
    with closing(Pipeline(threads, 1024)) as pipeline:
        named = ((path, path) for path in files)
        done = list(pipeline.run(model, named, identify=lambda _: False))
    verdicts = [one.verdict for one in done if one.verdict is not None]
    assert len(verdicts) == len(files)
    judge_series(model.bundle.manifest, verdicts)


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=starter_bundle_path())
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    wanted = parser.parse_args()
    bundle = load_bundle(wanted.bundle)
    model = Model(bundle)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(
        str(bundle.model_path), options, ["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{n}.dcm" for n in range(wanted.files)]
        for path in files:
            write_ct(path, rng)
        ways: dict[str, Callable[[], None]] = {
            "bare": lambda: bare_loop(bundle, session, files, wanted.threads),
            "bare_one_thread": lambda: bare_loop_one_thread(bundle, session, files),
            "ours": lambda: ours(model, files, wanted.threads),
        }
        print(json.dumps(compare(ways, wanted.files, wanted.repeat), indent=1))


def compare(
    ways: dict[str, Callable[[], None]], files: int, repeat: int
) -> dict[str, float]:
    """Return rates in files per second and their ratio; a warm-up round is dropped."""
    walls: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeat + 1):
        for name, run in ways.items():
            wall, used = time.perf_counter(), time.process_time()
            run()
            walls[name].append(time.perf_counter() - wall)
            cpu[name].append(time.process_time() - used)
    rate = {n: files / statistics.median(s[1:]) for n, s in walls.items()}
    own = {n: 1000 * statistics.median(s[1:]) / files for n, s in cpu.items()}
    best = max(rate["bare"], rate["bare_one_thread"])
    return {
        **{f"{name}_per_second": round(value, 1) for name, value in rate.items()},
        **{f"{name}_cpu_ms": round(value, 2) for name, value in own.items()},
        "ratio": round(rate["ours"] / best, 3),
        "cpu_ratio": round(min(own["bare"], own["bare_one_thread"]) / own["ours"], 3),
    }


if __name__ == "__main__":
    main()
