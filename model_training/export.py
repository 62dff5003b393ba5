"""From torch to a sealed bundle: one ONNX graph, checked against torch."""

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_training.clustering import Floats
from model_training.encoder import Encoder
from veritag.errors import StopError

# Old enough for every ONNX Runtime that the worker may run on.
OPSET = 17
TOLERANCE = 1e-3
INPUT = "tiles"
OUTPUTS = ("embedding", "soft_assignment", "distance")


class InspectionModel(nn.Module):
    """Encoder and cluster centers as one model over uint8 tiles."""

    def __init__(self, encoder: Encoder, centers: Floats, degrees: float = 1.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.degrees = degrees
        self.register_buffer("centers", torch.tensor(centers, dtype=torch.float32))

    def forward(self, tiles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return embedding (N, D), soft assignment and distance (N, K) of uint8 tiles."""
        x = tiles.unsqueeze(1).to(torch.float32) / 255.0  # (N, 1, size, size)
        z = self.encoder(x)
        # Differences first: |a|^2 - 2ab + |b|^2 would lose the small distances.
        squared = ((z.unsqueeze(1) - self.centers) ** 2).sum(2)
        kernel = (1.0 + squared / self.degrees) ** (-(self.degrees + 1.0) / 2.0)
        return z, kernel / kernel.sum(1, keepdim=True), torch.sqrt(squared)


def export_onnx(model: InspectionModel, size: int, path: Path) -> None:
    """Write the model with a free batch axis."""
    model = model.cpu().eval()
    example = torch.zeros((2, size, size), dtype=torch.uint8)
    with warnings.catch_warnings():
        # The exporter that needs no further package is marked as old; it is complete
        # for these layers, and the parity check shows it.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (example,),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "n"} for name in (INPUT, *OUTPUTS)},
        )


def run_onnx(path: Path, tiles: NDArray[np.uint8], batch: int = 64) -> list[Floats]:
    """Return embedding, soft assignment and distance of tiles by ONNX Runtime on CPU."""
    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    parts = [
        session.run(list(OUTPUTS), {INPUT: tiles[start : start + batch]})
        for start in range(0, len(tiles), batch)
    ]
    return [np.concatenate(p).astype(np.float64) for p in zip(*parts, strict=True)]


def parity(model: InspectionModel, path: Path, tiles: NDArray[np.uint8]) -> float:
    """Return the largest relative difference of ONNX Runtime to torch on real tiles.

    Batches of one and of all are compared, too: a verdict must not depend on what else
    was in the batch.

    Raises
    ------
    StopError
        If the exported graph does not compute what was trained.
    """
    with torch.no_grad():
        expected = [
            o.numpy() for o in model.cpu().eval()(torch.tensor(np.array(tiles)))
        ]
    largest = 0.0
    for batch in (len(tiles), 1):
        for ours, theirs in zip(run_onnx(path, tiles, batch), expected, strict=True):
            scale = max(float(np.abs(theirs).max()), 1e-6)
            largest = max(largest, float(np.abs(ours - theirs).max()) / scale)
    if not largest <= TOLERANCE:
        raise StopError(
            f"the exported model differs from the trained one by {largest:.2g}"
        )
    return largest
