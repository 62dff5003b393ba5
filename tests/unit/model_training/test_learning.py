"""A whole training run, tiny, from files to a sealed bundle."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

from model_training.augment import mirrored, varied
from model_training.clustering import Whitening, soft_assignment, squared_distances
from model_training.config import TrainingConfig
from model_training.encoder import Autoencoder, Encoder
from model_training.export import InspectionModel, export_onnx, parity, run_onnx
from model_training.losses import reconstruction_loss
from model_training.run import Request, run_training
from model_training.train import as_input, train_autoencoder
from veritag.bundle import ModelBundle, load_bundle
from veritag.cli import build_app
from veritag.errors import ConfigurationError, StopError
from veritag.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def bundle(
    phantom_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> ModelBundle:
    """Return a bundle learnt from the phantom files in seconds."""
    out = tmp_path_factory.mktemp("out") / "bundle"
    config = TrainingConfig(size=32, epochs=3, clusters=4, views=1)
    request = Request(
        config, images=(phantom_folder,), out=out, device="cpu", threads=1
    )
    return run_training(request, Settings())


def test_a_run_leaves_a_sealed_bundle(bundle: ModelBundle) -> None:
    """The bundle loads, and holds model, report and card."""
    again = load_bundle(bundle.path)
    assert again == bundle
    names = {p.name for p in bundle.path.iterdir()}
    assert names == {"bundle.json", "model.onnx", "report.html", "MODEL_CARD.md"}


def test_the_bundle_tells_its_lineage(bundle: ModelBundle) -> None:
    """Snapshot, configuration, code version and figures are in the manifest."""
    lineage, training = bundle.manifest.lineage, bundle.manifest.training
    assert lineage["snapshot"]["images"] == 96
    assert lineage["configuration"]["clusters"] == 4
    assert lineage["code_version"]
    assert training["images"]["unseen"] > 0
    assert training["export_difference"] < 1e-3


def test_profiles_are_shares(bundle: ModelBundle) -> None:
    """Every profile sums to one over normalized values."""
    assert len(bundle.manifest.clusters) == 4
    for cluster in bundle.manifest.clusters:
        for shares in cluster.profiles.values():
            assert sum(shares.values()) == pytest.approx(1, abs=1e-4)


def test_a_handful_of_images_flags_nothing(bundle: ModelBundle) -> None:
    """With a dozen held-out images no tag has been shown."""
    thresholds = [c.threshold for c in bundle.manifest.calibration.values()]
    assert thresholds == [None] * 8


def test_the_report_shows_pictures_and_needs_nothing_else(bundle: ModelBundle) -> None:
    """The page embeds its pictures and links to nothing outside."""
    page = (bundle.path / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "http" not in page


def test_the_model_answers_batches_of_any_size(bundle: ModelBundle) -> None:
    """One tile or many, the outputs have the promised names, shapes and sums."""
    session = onnxruntime.InferenceSession(str(bundle.model_path))
    for n in (1, 5):
        tiles = np.zeros((n, 32, 32), np.uint8)
        z, q, d = session.run(
            ["embedding", "soft_assignment", "distance"], {"tiles": tiles}
        )
        assert (z.shape, q.shape, d.shape) == ((n, 100), (n, 4), (n, 4))
        np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-5)


def test_the_same_seed_gives_the_same_encoder() -> None:
    """Training is repeatable on one machine."""
    tiles = np.random.default_rng(1).integers(0, 256, (24, 32, 32)).astype(np.uint8)
    config = TrainingConfig(size=32, epochs=1)
    one, two = (train_autoencoder(tiles, tiles[:4], config)[0] for _ in range(2))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_the_graph_computes_the_written_equations(tmp_path: Path) -> None:
    """ONNX Runtime agrees with torch, and torch with the equations in numpy."""
    rng = np.random.default_rng(2)
    torch.manual_seed(2)
    encoder = Encoder(32).eval()
    whitening = Whitening(rng.normal(size=100), rng.normal(size=(100, 100)))
    centers = rng.normal(size=(6, 100))
    tiles = rng.integers(0, 256, (9, 32, 32)).astype(np.uint8)
    model = InspectionModel(encoder, whitening, centers)
    export_onnx(model, 32, tmp_path / "model.onnx")
    assert parity(model, tmp_path / "model.onnx", tiles) < 1e-4
    with torch.no_grad():
        raw = encoder(as_input(tiles, "cpu")).numpy().astype(np.float64)
    z, q, d = run_onnx(tmp_path / "model.onnx", tiles)
    expected = whitening.apply(raw)
    np.testing.assert_allclose(z, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(q, soft_assignment(expected, centers), rtol=1e-3)
    np.testing.assert_allclose(
        d, np.sqrt(squared_distances(expected, centers)), rtol=1e-3
    )


def test_an_export_that_differs_is_stopped(tmp_path: Path) -> None:
    """A graph of other weights does not pass the parity check."""
    rng = np.random.default_rng(3)
    plain = Whitening(np.zeros(100), np.eye(100))
    tiles = rng.integers(0, 256, (3, 32, 32)).astype(np.uint8)
    one, other = (
        InspectionModel(Encoder(32), plain, rng.normal(size=(3, 100))) for _ in range(2)
    )
    export_onnx(one, 32, tmp_path / "model.onnx")
    with pytest.raises(StopError, match="differs"):
        parity(other, tmp_path / "model.onnx", tiles)


def test_the_decoder_mirrors_the_encoder() -> None:
    """A tile of any multiple of 32 comes back in its size, within [0, 1]."""
    for size in (32, 96):
        z, again = Autoencoder(size)(torch.rand(2, 1, size, size))
        assert z.shape == (2, 100)
        assert again.shape == (2, 1, size, size)
        assert 0 <= again.min() <= again.max() <= 1


def test_the_paper_s_parameters() -> None:
    """At 256 x 256 the encoder has the paper's layers: 101,920 weights in convolutions."""
    encoder = Encoder(256)
    assert sum(p.numel() for p in encoder.convolutions.parameters()) == 101_920
    assert encoder.dense.weight.shape == (100, 4096)


def test_reconstruction_loss_by_hand() -> None:
    """Errors of 1 and 3 have a mean square of 5."""
    loss = reconstruction_loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0]))
    assert loss.item() == pytest.approx(5.0)


def test_variation_keeps_shape_and_range() -> None:
    """Varied tiles stay tiles; with strength 0 they are what they were."""
    tiles = torch.rand(8, 1, 32, 32)
    generator = torch.Generator().manual_seed(1)
    changed = varied(mirrored(tiles, generator), generator)
    assert changed.shape == tiles.shape
    assert 0 <= changed.min() <= changed.max() <= 1
    torch.testing.assert_close(varied(tiles, generator, 0.0), tiles, atol=1e-4, rtol=0)


def test_an_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    """--out that holds something is refused before any work."""
    (tmp_path / "precious").touch()
    with pytest.raises(ConfigurationError, match="not an empty folder"):
        run_training(Request(TrainingConfig(), out=tmp_path), Settings())


def test_a_tile_size_that_does_not_halve_is_named() -> None:
    """--size must be a multiple of 32."""
    with pytest.raises(ConfigurationError, match="no multiple of 32"):
        run_training(Request(TrainingConfig(size=50)), Settings())


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    """An empty folder ends in a sentence."""
    empty = tmp_path / "empty"
    empty.mkdir()
    request = Request(TrainingConfig(), images=(empty,), out=tmp_path / "out")
    with pytest.raises(StopError, match="no image to learn from"):
        run_training(request, Settings())
    assert not (tmp_path / "out").exists()


def test_the_command_is_shown_with_its_options() -> None:
    """`veritag train --help` names what the documentation promises."""
    result = CliRunner().invoke(
        build_app(), ["train", "--help"], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 0
    for option in ("--data", "--images", "--out", "--device"):
        assert option in result.output
