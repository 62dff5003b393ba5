"""A whole training run on few images, from files to a sealed bundle."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from typer.testing import CliRunner

from model_training.network.training_config import TrainingConfig
from model_training.runs.train_bundle import run_training
from model_training.runs.training_request import TrainingRequest
from veritag.bundles.bundle import ModelBundle, load_bundle
from veritag.cli import build_app
from veritag.errors import ConfigurationError, MissingPart, StopError
from veritag.settings import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
CONFIG = TrainingConfig(size=32, epochs=3, cluster_epochs=2, clusters=4, views=1)


@pytest.fixture(scope="module")
def bundle(
    phantom_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> ModelBundle:
    """Return a bundle learnt from the phantom files in seconds."""
    out = tmp_path_factory.mktemp("out") / "bundle"
    request = TrainingRequest(
        CONFIG, images=(phantom_folder,), out=out, device="cpu", threads=1
    )
    return run_training(request, Settings())


def test_a_run_leaves_a_sealed_bundle(bundle: ModelBundle) -> None:
    """The bundle loads, and holds model, report and card."""
    again = load_bundle(bundle.path)
    assert again == bundle
    names = {p.name for p in bundle.path.iterdir()} - {"exemplars"}
    assert names == {"bundle.json", "model.onnx", "report.html", "MODEL_CARD.md"}


def test_each_cluster_has_a_strip_of_its_exemplars(bundle: ModelBundle) -> None:
    """Six tiles of 32 pixels side by side, named by the cluster's id."""
    for cluster in bundle.manifest.clusters:
        strip = cv2.imread(str(bundle.path / f"exemplars/{cluster.cluster_id}.png"))
        assert strip is not None
        assert strip.shape[:2] == (32, 6 * 32)
        assert len(cluster.exemplars) == 6


def test_the_bundle_tells_its_lineage(bundle: ModelBundle) -> None:
    """Snapshot, configuration, code version and figures are in the manifest."""
    lineage, training = bundle.manifest.lineage, bundle.manifest.training
    assert lineage["snapshot"]["images"] == 96
    assert lineage["configuration"]["clusters"] == 4
    assert lineage["code_version"]
    assert training["images"]["unseen"] > 0
    assert training["export_difference"] < 1e-3
    assert {e["part"] for e in training["epochs"]} == {"encoder", "clusters"}
    assert training["constraints"]["must_link"] > 0


def test_profiles_are_shares(bundle: ModelBundle) -> None:
    """Every profile sums to one over normalized values."""
    assert len(bundle.manifest.clusters) == 4
    for cluster in bundle.manifest.clusters:
        for shares in cluster.profiles.values():
            assert sum(shares.values()) == pytest.approx(1, abs=1e-4)


def test_a_handful_of_images_flags_nothing(bundle: ModelBundle) -> None:
    """A dozen held-out images are too few for any threshold."""
    thresholds = [c.threshold for c in bundle.manifest.calibration.values()]
    assert thresholds == [None] * 8


def test_the_report_shows_pictures_and_needs_nothing_else(bundle: ModelBundle) -> None:
    """The page embeds its pictures and links to nothing outside."""
    page = (bundle.path / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "http" not in page


def test_the_model_answers_batches_of_any_size(bundle: ModelBundle) -> None:
    """For one tile and many, the outputs have the documented names, shapes and sums."""
    session = onnxruntime.InferenceSession(str(bundle.model_path))
    for n in (1, 5):
        tiles = np.zeros((n, 32, 32), np.uint8)
        z, q, d = session.run(
            ["embedding", "soft_assignment", "distance"], {"tiles": tiles}
        )
        assert (z.shape, q.shape, d.shape) == ((n, 100), (n, 4), (n, 4))
        np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-5)


def test_losses_go_to_tensorboard(phantom_folder: Path, tmp_path: Path) -> None:
    """Each part has its curves; without the package the error says what to install."""
    request = TrainingRequest(
        replace(CONFIG, epochs=2, cluster_epochs=1),
        images=(phantom_folder,),
        out=tmp_path / "bundle",
        device="cpu",
        tensorboard=tmp_path / "logs",
    )
    if find_spec("tensorboard") is None:
        with pytest.raises(MissingPart, match=r"pip install .*tensorboard"):
            run_training(request, Settings())
        assert not (tmp_path / "bundle").exists()
        return
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_training(request, Settings())
    curves = EventAccumulator(str(tmp_path / "logs")).Reload()
    assert {"encoder/tags", "clusters/clustering"} <= set(curves.Tags()["scalars"])
    assert [e.step for e in curves.Scalars("encoder/held_out")] == [1, 2]


def test_half_precision_is_told_in_the_bundle(
    phantom_folder: Path, tmp_path: Path
) -> None:
    """With --half the model calculates in float16; the bundle holds the differences."""
    request = TrainingRequest(
        replace(CONFIG, half=True, epochs=1),
        images=(phantom_folder,),
        out=tmp_path / "bundle",
        device="cpu",
    )
    training = run_training(request, Settings()).manifest.training
    assert training["half_precision"]["same_cluster"] > 0.9
    assert training["half_precision"]["largest_difference"] < 0.05


def test_an_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    """A folder --out that is not empty is refused before any work."""
    (tmp_path / "precious").touch()
    with pytest.raises(ConfigurationError, match="not an empty folder"):
        run_training(TrainingRequest(TrainingConfig(), out=tmp_path), Settings())


def test_a_tile_size_that_does_not_halve_is_named() -> None:
    """--size must be a multiple of 32."""
    with pytest.raises(ConfigurationError, match="no multiple of 32"):
        run_training(TrainingRequest(TrainingConfig(size=50)), Settings())


def test_nothing_to_learn_from_is_an_error(tmp_path: Path) -> None:
    """An empty folder ends in an error and creates nothing."""
    empty = tmp_path / "empty"
    empty.mkdir()
    request = TrainingRequest(TrainingConfig(), images=(empty,), out=tmp_path / "out")
    with pytest.raises(StopError, match="no image to learn from"):
        run_training(request, Settings())
    assert not (tmp_path / "out").exists()


def test_the_command_is_shown_with_its_options() -> None:
    """`veritag train --help` lists the documented options."""
    result = CliRunner().invoke(
        build_app(), ["train", "--help"], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 0
    for option in (
        "--data",
        "--images",
        "--out",
        "--device",
        "--recipe",
        "--precision",
        "--compile",
        "--half",
        "--tensorboard",
    ):
        assert option in result.output
