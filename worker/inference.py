"""The ONNX Runtime session of a bundle, on CUDA where it really runs, else on CPU."""

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from veritag.bundles.bundle import ModelBundle
from veritag.bundles.graph import (
    BATCH_AXIS,
    OUTPUTS,
    GraphOutputs,
    concatenated,
    mismatches,
    run_graph,
)
from veritag.errors import BundleRejected
from veritag.process.logs import get_logger

log = get_logger()

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"

# Fixed shapes: CUDA plans its convolutions once per shape, and on CPU larger batches
# are not faster, only later. A batch is padded to the next of these.
BUCKETS = {CPU: (1, 2, 4), CUDA: (1, 8, 32)}

_CUDA_OPTIONS = {
    # EXHAUSTIVE would try every algorithm for seconds, at every shape.
    "cudnn_conv_algo_search": "HEURISTIC",
    # Several processes may share a GPU: allocate what is needed, no power of 2.
    "arena_extend_strategy": "kSameAsRequested",
}
_ERRORS_ONLY = 3

Tiles: TypeAlias = NDArray[np.uint8]


class Model:
    """A bundle's model, loaded and warm.

    Parameters
    ----------
    threads
        Of ONNX Runtime's own pool; one is best beside threads that decode.

    Raises
    ------
    BundleRejected
        If ONNX Runtime cannot load the model, or its outputs do not fit the manifest.
    """

    def __init__(self, bundle: ModelBundle, *, threads: int = 1) -> None:
        self.bundle = bundle
        try:
            self._session = _open_session(str(bundle.model_path), threads)
        # ONNX Runtime's exceptions have no common base but Exception.
        except Exception as error:
            raise BundleRejected(
                f"{bundle.path}: ONNX Runtime cannot load the model: {error}"
            ) from error
        self.provider: str = self._session.get_providers()[0]
        self.buckets = BUCKETS[self.provider]
        self._require_outputs()
        self._warm_up()

    @property
    def batch(self) -> int:
        """The largest batch that runs in one go."""
        return self.buckets[-1]

    def run(self, tiles: Tiles) -> GraphOutputs[NDArray[Any]]:
        """Return what the model computes for tiles of shape (n, size, size)."""
        if not len(tiles):
            padding = np.zeros((1, *tiles.shape[1:]), np.uint8)
            return _first(self._run_batch(padding), 0)
        return concatenated([self._run_batch(t) for t in _chunks(tiles, self.batch)])

    def _run_batch(self, tiles: Tiles) -> GraphOutputs[NDArray[Any]]:
        count = len(tiles)
        bucket = next(size for size in self.buckets if size >= count)
        if bucket > count:
            padding = np.zeros((bucket - count, *tiles.shape[1:]), np.uint8)
            tiles = np.concatenate([tiles, padding])
        return _first(run_graph(self._session, tiles), count)

    def _require_outputs(self) -> None:
        present = {output.name for output in self._session.get_outputs()}
        missing = [name for name in OUTPUTS if name not in present]
        if missing:
            raise BundleRejected(
                f"{self.bundle.path}: the model has no output {', '.join(missing)}"
            )

    def _warm_up(self) -> None:
        """Run each batch size once: CUDA plans its convolutions at the first run."""
        manifest = self.bundle.manifest
        size = manifest.preprocessing.size
        for bucket in self.buckets:
            outputs = self._try(np.zeros((bucket, size, size), np.uint8))
            lengths = {
                BATCH_AXIS: bucket,
                "K": len(manifest.clusters),
                "V": sum(map(len, manifest.concepts.values())),
            }
            if wrong := mismatches(outputs, lengths):
                raise BundleRejected(
                    f"{self.bundle.path}: the model's outputs do not fit its manifest: "
                    + "; ".join(wrong)
                )

    def _try(self, tiles: Tiles) -> GraphOutputs[NDArray[Any]]:
        try:
            return self._run_batch(tiles)
        except Exception as error:
            raise BundleRejected(
                f"{self.bundle.path}: ONNX Runtime cannot run the model: {error}"
            ) from error


def _first(outputs: GraphOutputs[NDArray[Any]], n: int) -> GraphOutputs[NDArray[Any]]:
    return GraphOutputs(*(array[:n] for array in outputs))


def _chunks(tiles: Tiles, size: int) -> Iterator[Tiles]:
    for start in range(0, len(tiles), size):
        yield tiles[start : start + size]


def _open_session(model: str, threads: int) -> Any:
    """Return a session whose first provider is the one that runs.

    `get_available_providers()` lists CUDA wherever the package was built with it, and a
    session without CUDA's libraries falls back to the CPU with errors on stderr.
    """
    ort.set_default_logger_severity(_ERRORS_ONLY)
    if not _has_cuda_driver():
        return ort.InferenceSession(model, _options(threads), [CPU])
    _load_cuda_libraries()
    with _captured_stderr() as errors:
        providers = [(CUDA, _CUDA_OPTIONS), CPU]
        session = ort.InferenceSession(model, _options(threads), providers)
    if session.get_providers()[0] != CUDA:
        log.warning("cuda_not_usable", detail=" ".join(errors[-1:])[:500])
    return session


def _options(threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A spinning thread would take a core from the decoding threads.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ERRORS_ONLY
    return options


def _has_cuda_driver() -> bool:
    """Return whether the package was built with CUDA and the machine has the driver."""
    if CUDA not in ort.get_available_providers():
        return False
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _load_cuda_libraries() -> None:
    """Find CUDA and cuDNN in the packages that pip installs them from."""
    preload = getattr(ort, "preload_dlls", None)
    if preload is not None:
        with _captured_stderr():
            preload(directory="")


@contextmanager
def _captured_stderr() -> Iterator[list[str]]:
    """Capture what C++ writes to stderr; the list of lines is filled at the end."""
    lines: list[str] = []
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        stderr = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            file.seek(0)
            lines += file.read().decode(errors="replace").strip().splitlines()
