"""Export of a trained network to the ONNX graph of a bundle, checked against torch."""

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from model_training.network.clustering import Floats
from model_training.network.encoder import Encoder
from model_training.tag_model.novelty import NoveltyScore
from model_training.tag_model.tag_predictor import TagPredictor
from veritag.bundles.graph import (
    BATCH_AXIS,
    INPUT,
    OUTPUTS,
    GraphOutputs,
    concatenated,
    run_graph,
)
from veritag.errors import StopError

# Old enough for every ONNX Runtime that the worker may run on.
OPSET = 17
TOLERANCE = 1e-3
HALF_TOLERANCE = 3e-2
"""For float16 with its 11 bits, over seven layers of sums in another order."""
NOVELTY_SLACK = 20.0
"""Novelty is an exponential: only the side of 1 on which it lies matters."""
EXACT_BATCH = 64
"""Tiles per batch of the float32 model in `cost_of_half`."""


class InspectionModel(nn.Module):
    """The encoder and all that is computed from its embedding, as one model of tiles.

    Parameters
    ----------
    half
        Whether the encoder computes in float16, for GPUs. Input and outputs keep their
        types, and distances are computed in float32.
    """

    def __init__(
        self,
        encoder: Encoder,
        predictor: TagPredictor,
        novelty: NoveltyScore,
        *,
        half: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = without_norm(encoder)
        if half:
            self.encoder.half()
        self.half_precision = half
        self.predictor = predictor
        self.novelty = novelty

    def forward(self, tiles: Tensor) -> GraphOutputs[Tensor]:
        """Return the outputs for uint8 tiles (N, size, size)."""
        x = tiles.unsqueeze(1).to(torch.float32) / 255.0  # (N, 1, size, size)
        x = x.half() if self.half_precision else x
        z, statistics = (part.float() for part in self.encoder.with_statistics(x))
        log_q, distance = self.predictor.clusters(z)
        probability, neighbors = self.predictor(z)
        return GraphOutputs(
            embedding=z,
            soft_assignment=log_q.exp(),
            distance=distance,
            tag_probability=probability,
            novelty=self.novelty(torch.cat([z, statistics], 1), probability),
            neighbors=neighbors,
        )


def without_norm(encoder: Encoder) -> Encoder:
    """Return a copy whose dense layer includes the norm of the embedding.

    The exporter folds the norms of the convolutions itself.
    """
    encoder = copy.deepcopy(encoder).eval()
    if isinstance(encoder.norm, nn.BatchNorm1d):
        encoder.dense = fuse_linear_bn_eval(encoder.dense, encoder.norm)
        encoder.norm = nn.Identity()
    return encoder


def export_onnx(model: InspectionModel, size: int, path: Path) -> None:
    """Write the model with a free batch axis."""
    model = model.cpu().eval()
    example = torch.zeros((2, size, size), dtype=torch.uint8)
    with warnings.catch_warnings():
        # The exporter without further packages is marked as deprecated; it supports
        # these layers completely, which the parity check shows.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (example,),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: BATCH_AXIS} for name in (INPUT, *OUTPUTS)},
        )


def run_onnx(
    path: Path, tiles: NDArray[np.uint8], batch: int = 64
) -> GraphOutputs[NDArray[Any]]:
    """Return what ONNX Runtime on CPU computes for tiles (N, size, size), in float64."""
    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    batches = [
        run_graph(session, tiles[start : start + batch])
        for start in range(0, len(tiles), batch)
    ]
    return GraphOutputs(*(_as_float64(array) for array in concatenated(batches)))


def _as_float64(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float64) if array.dtype == np.float32 else array


def parity(model: InspectionModel, path: Path, tiles: NDArray[np.uint8]) -> float:
    """Return the largest relative difference of ONNX Runtime and torch on real tiles.

    Batches of one and of all tiles are compared: a verdict must not depend on the rest
    of its batch.

    Raises
    ------
    StopError
        If the exported graph differs from the trained model.
    """
    with torch.no_grad():
        expected = model.cpu().eval()(torch.tensor(np.array(tiles)))
    largest = max(
        _difference(run_onnx(path, tiles, batch), expected) for batch in (len(tiles), 1)
    )
    if not largest <= (HALF_TOLERANCE if model.half_precision else TOLERANCE):
        raise StopError(
            f"the exported model differs from the trained one by {largest:.2g}"
        )
    return largest


def _difference(
    actual: GraphOutputs[NDArray[Any]], expected: GraphOutputs[Tensor]
) -> float:
    """Return the largest difference of any output, relative to its largest value."""
    differences = []
    for name, exported, tensor in zip(OUTPUTS, actual, expected, strict=True):
        if name == "neighbors":
            continue  # equally near ones may swap places
        trained = tensor.numpy()
        # Relative to the largest value, because the outputs differ in scale.
        scale = max(float(np.abs(trained).max()), 1e-6)
        if name == "novelty":
            scale *= NOVELTY_SLACK
        differences.append(float(np.abs(exported - trained).max()) / scale)
    return float(np.max(differences))


def cost_of_half(
    full: InspectionModel, q: Floats, tiles: NDArray[np.uint8]
) -> dict[str, float]:
    """Return the differences of a graph of half precision from the full one.

    Parameters
    ----------
    q
        Soft assignments of the tiles by the graph of half precision, of shape (N, K).

    Returns
    -------
    The largest difference of a soft assignment, and the share of tiles that lie in the
    same cluster.
    """
    full = full.cpu().eval()
    with torch.no_grad():
        parts = [
            full(torch.tensor(tiles[start : start + EXACT_BATCH])).soft_assignment
            for start in range(0, len(tiles), EXACT_BATCH)
        ]
    expected = torch.cat(parts).double().numpy()
    return {
        "largest_difference": float(np.abs(q - expected).max()),
        "same_cluster": float((q.argmax(1) == expected.argmax(1)).mean()),
    }
