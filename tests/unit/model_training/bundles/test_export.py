"""The exported graph: the equations of the paper, any batch size, both precisions."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.untrained import untrained_graph
from model_training.bundles.export import (
    InspectionModel,
    cost_of_half,
    export_onnx,
    parity,
    run_onnx,
)
from model_training.network.clustering import soft_assignment, squared_distances
from model_training.network.network import ClusteringNetwork
from model_training.training.embedding import settle_norms
from model_training.training.loop import train
from tests.unit.model_training.small_training import config, phantom_tiles
from veritag.errors import StopError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def tiles() -> NDArray[np.uint8]:
    """Return every fifth picture, ten of them."""
    return np.ascontiguousarray(phantom_tiles().tiles[::5])


def model(
    *, batch_norm: bool = True, degrees: float = 1.0, half: bool = False
) -> InspectionModel:
    """Return a network with random weights and centers as it is exported."""
    torch.manual_seed(2)
    network = ClusteringNetwork(config(batch_norm=batch_norm), {})
    settle_norms(network, phantom_tiles().tiles)
    centers = np.random.default_rng(2).normal(size=(6, 10))
    return untrained_graph(network.encoder.eval(), centers, degrees, half=half)


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("degrees", [1.0, 2.5])
def test_the_graph_computes_the_written_equations(
    batch_norm: bool, degrees: float, tmp_path: Path
) -> None:
    """ONNX Runtime agrees with torch, and torch with the equations in numpy."""
    exported, path = model(batch_norm=batch_norm, degrees=degrees), tmp_path / "m.onnx"
    export_onnx(exported, 32, path)
    assert parity(exported, path, tiles()) < 1e-4
    x = torch.from_numpy(tiles()).unsqueeze(1).float() / 255
    with torch.no_grad():
        expected = exported.encoder(x).double().numpy()
    centers = exported.predictor.centers.double().numpy()
    outputs = run_onnx(path, tiles())
    np.testing.assert_allclose(outputs.embedding, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        outputs.soft_assignment, soft_assignment(expected, centers, degrees), rtol=1e-3
    )
    distances = np.sqrt(squared_distances(expected, centers))
    np.testing.assert_allclose(outputs.distance, distances, rtol=1e-3)


def test_norms_are_folded_away(tmp_path: Path) -> None:
    """The graph has convolutions and one dense layer, and no batch norm is left."""
    export_onnx(model(), 32, tmp_path / "m.onnx")
    kinds = {node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node}
    assert "Conv" in kinds
    assert "BatchNormalization" not in kinds


@pytest.mark.parametrize("half", [False, True])
def test_an_image_s_answer_does_not_depend_on_its_batch(
    half: bool, tmp_path: Path
) -> None:
    """Alone, with few or with many the outputs are the same, of the promised shapes."""
    export_onnx(model(half=half), 32, tmp_path / "m.onnx")
    all_rows = run_onnx(tmp_path / "m.onnx", tiles(), 10)
    shapes = [(10, 10), (10, 6), (10, 6), (10, 5), (10,), (10, 10)]
    assert [o.shape for o in all_rows] == shapes
    for batch in (1, 3):
        parts = run_onnx(tmp_path / "m.onnx", tiles(), batch)
        for ours, theirs in zip(parts, all_rows, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=3e-2 if half else 1e-4)


def test_half_precision_keeps_what_goes_in_and_out(tmp_path: Path) -> None:
    """Convolutions are of float16; inputs are uint8 and outputs float32 as ever."""
    export_onnx(model(), 32, tmp_path / "full.onnx")
    export_onnx(model(half=True), 32, tmp_path / "half.onnx")
    assert convolved_in(tmp_path / "full.onnx") == {onnx.TensorProto.FLOAT}
    assert convolved_in(tmp_path / "half.onnx") == {onnx.TensorProto.FLOAT16}
    sessions = [
        onnxruntime.InferenceSession(
            str(tmp_path / f"{n}.onnx"), providers=["CPUExecutionProvider"]
        )
        for n in ("half", "full")
    ]
    half, full = (
        [(a.name, a.type) for a in (*s.get_inputs(), *s.get_outputs())]
        for s in sessions
    )
    assert half == full
    kinds = {"tensor(uint8)", "tensor(float)", "tensor(int64)"}
    assert {kind for _, kind in half} == kinds


def convolved_in(path: Path) -> set[int]:
    """Return the types of the convolutions' weights."""
    graph = onnx.load(path).graph
    weights = {n.input[1] for n in graph.node if n.op_type == "Conv"}
    return {i.data_type for i in graph.initializer if i.name in weights}


def test_the_cost_of_half_precision_is_told(tmp_path: Path) -> None:
    """Q differs little, and nearly every tile stays in its cluster."""
    trained = train(phantom_tiles(), phantom_tiles(), config("idec"))
    graphs = [
        untrained_graph(trained.network.encoder, trained.centers, half=half)
        for half in (True, False)
    ]
    export_onnx(graphs[0], 32, tmp_path / "m.onnx")
    parity(graphs[0], tmp_path / "m.onnx", tiles())
    cost = cost_of_half(
        graphs[1],
        run_onnx(tmp_path / "m.onnx", phantom_tiles().tiles).soft_assignment,
        phantom_tiles().tiles,
    )
    assert 0 < cost["largest_difference"] < 0.01
    assert cost["same_cluster"] >= 0.95


@pytest.mark.parametrize("half", [False, True])
def test_an_export_that_differs_is_stopped(half: bool, tmp_path: Path) -> None:
    """A graph of other centers does not pass the parity check."""
    one, other = model(half=half), model(half=half)
    other.encoder.dense.bias.data += 1.0
    export_onnx(one, 32, tmp_path / "m.onnx")
    with pytest.raises(StopError, match="differs"):
        parity(other, tmp_path / "m.onnx", tiles())
