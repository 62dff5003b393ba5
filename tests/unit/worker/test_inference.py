"""The model's session: batches, providers, and models that are rejected."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from tests.bundles import make_bundle
from tests.real_parts import require
from veritag.bundles.bundle import ModelBundle, load_bundle, seal_bundle
from veritag.errors import BundleRejected
from veritag.pixels.preprocessing import Preprocessing
from worker import inference
from worker.inference import CPU, CUDA, Model


@pytest.fixture(scope="module")
def model(bundle: ModelBundle) -> Model:
    """The bundle's model, loaded."""
    return Model(bundle)


def tiles(count: int) -> np.ndarray:
    rng = np.random.default_rng(count)
    return rng.integers(0, 256, (count, 64, 64), dtype=np.uint8)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 11])
def test_padding_to_a_bucket_changes_nothing(model: Model, count: int) -> None:
    """A tile's row is the same however many tiles come with it."""
    images = tiles(count)
    all_rows = model.run(images)
    assert all_rows.soft_assignment.shape == (count, 4)
    assert all_rows.distance.shape == (count, 4)
    for row in range(count):
        alone = model.run(images[row : row + 1])
        np.testing.assert_allclose(
            alone.soft_assignment[0], all_rows.soft_assignment[row], rtol=1e-5
        )


def test_soft_assignments_sum_to_one(model: Model) -> None:
    """Each row of q is a distribution over the clusters."""
    outputs = model.run(tiles(6))
    np.testing.assert_allclose(outputs.soft_assignment.sum(axis=1), 1, rtol=1e-5)


def test_the_provider_is_the_one_that_runs(
    bundle: ModelBundle, capfd: pytest.CaptureFixture[str]
) -> None:
    """The provider is that of the session, and nothing is printed."""
    model = Model(bundle)
    session = ort.InferenceSession(str(bundle.model_path), providers=[CPU])
    assert session.get_providers() == [CPU]
    assert model.provider in (CPU, CUDA)
    assert model.batch == (4 if model.provider == CPU else 32)
    assert "onnxruntime" not in capfd.readouterr().err


def test_cuda_without_its_libraries_falls_back_in_silence(
    bundle: ModelBundle,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """With a driver but without CUDA the model runs on the CPU, and nothing is printed."""
    require(CUDA in ort.get_available_providers(), "onnxruntime is built without CUDA")
    monkeypatch.setattr(inference, "_has_cuda_driver", lambda: True)
    model = Model(bundle)
    error = capfd.readouterr().err
    assert "libcublas" not in error
    assert "E:onnxruntime" not in error
    assert len(model.run(tiles(3)).distance) == 3


def test_a_model_that_does_not_load_is_rejected(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    """A sealed bundle with a broken model is refused with the reason."""
    path = tmp_path / "broken"
    path.mkdir()
    (path / "model.onnx").write_bytes(b"no model at all")
    broken = seal_bundle(path, bundle.manifest)
    with pytest.raises(BundleRejected, match="ONNX Runtime cannot load"):
        Model(broken)


def test_outputs_that_do_not_fit_the_manifest_are_rejected(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    """A model with more clusters than its manifest is refused."""
    path = tmp_path / "other"
    path.mkdir()
    shutil.copy(bundle.model_path, path)
    fewer = replace(bundle.manifest, clusters=bundle.manifest.clusters[:2])
    with pytest.raises(BundleRejected, match="soft_assignment is float32 of shape"):
        Model(seal_bundle(path, fewer))


def test_a_model_without_an_output_is_rejected(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    """The missing output is named, before anything is run."""
    graph = onnx.load(bundle.model_path)
    del graph.graph.output[-1]
    path = tmp_path / "lacking"
    path.mkdir()
    onnx.save(graph, path / "model.onnx")
    with pytest.raises(BundleRejected, match="has no output neighbors"):
        Model(seal_bundle(path, bundle.manifest))


def test_a_model_of_another_tile_size_is_rejected(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    """A model that cannot take the tiles of its manifest is refused with the reason."""
    path = tmp_path / "small"
    path.mkdir()
    shutil.copy(bundle.model_path, path)
    smaller = replace(bundle.manifest, preprocessing=Preprocessing(size=32))
    with pytest.raises(BundleRejected, match="ONNX Runtime cannot run the model"):
        Model(seal_bundle(path, smaller))


def test_the_test_bundle_is_a_real_one(tmp_path: Path) -> None:
    """Made twice from the same phantoms it has the same id, and its seal holds."""
    first = make_bundle(tmp_path / "a", ["CT-HEAD"])
    second = make_bundle(tmp_path / "b", ["CT-HEAD"])
    assert load_bundle(first.path).bundle_id == second.bundle_id
