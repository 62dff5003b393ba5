"""A small real bundle, made from phantoms without any training.

Its embedding is the tile averaged to 8 x 8; each kind of phantom is a cluster around
the mean of a few patients. Enough for a worker to tell kinds apart.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from veritag.bundles.bundle import (
    BundleManifest,
    ClusterProfile,
    ModelBundle,
    TagCalibration,
    seal_bundle,
)
from veritag.dicom.tags import read_tags
from veritag.phantoms.series import phantom_series
from veritag.pixels.preprocessing import Preprocessing
from veritag.pixels.tile import make_tile
from veritag.terms.concepts import normalize

KINDS = ("CT-CHEST", "CT-HEAD", "MR-KNEE", "CR-HAND")
SIZE = 64
_POOLED = 8


def make_bundle(
    path: Path, kinds: Sequence[str] = KINDS, created_at: str = "2026-01-01"
) -> ModelBundle:
    """Write and seal a bundle that knows these kinds of phantoms."""
    path.mkdir(parents=True, exist_ok=True)
    pre = Preprocessing(size=SIZE)
    clusters, centers, limits = [], [], []
    for index, kind in enumerate(kinds):
        series = [phantom_series(kind, patient=p, instances=4, seed=99) for p in (1, 2)]
        datasets = [ds for one in series for ds in one]
        z = np.stack([_embed(make_tile(ds, pre)) for ds in datasets])
        centers.append(z.mean(axis=0))
        limits.append(2.5 * float(np.linalg.norm(z - centers[-1], axis=1).max()))
        tags = read_tags(datasets[0])
        profiles = {
            tag: {str(normalize(tag, tags[tag])): 1.0}
            for tag in ("Modality", "BodyPartExamined")
        }
        clusters.append(ClusterProfile(100 + index, profiles, dict.fromkeys(tags, 8.0)))
    _write_model(path / "model.onnx", np.stack(centers).astype(np.float32))
    told = TagCalibration(0.7, (0.0, 1.0), (0.0, 1.0))
    return seal_bundle(
        path,
        BundleManifest(
            preprocessing=pre,
            clusters=tuple(clusters),
            calibration={"Modality": told, "BodyPartExamined": told},
            sharpness=8.0,
            novelty_limits=tuple(limits),
            created_at=created_at,
        ),
    )


def _embed(tile: NDArray[np.uint8]) -> NDArray[np.float32]:
    step = SIZE // _POOLED
    blocks = tile.reshape(_POOLED, step, _POOLED, step).astype(np.float32) / 255
    pooled: NDArray[np.float32] = blocks.mean(axis=(1, 3)).ravel()
    return pooled


def _write_model(path: Path, centers: NDArray[np.float32]) -> None:
    step = SIZE // _POOLED

    def constant(name: str, values: object, dtype: type) -> onnx.TensorProto:
        return numpy_helper.from_array(np.asarray(values, dtype), name)

    nodes = [
        helper.make_node("Cast", ["tiles"], ["raw"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["raw", "white"], ["scaled"]),
        helper.make_node("Unsqueeze", ["scaled", "channel"], ["image"]),
        helper.make_node(
            "AveragePool",
            ["image"],
            ["pooled"],
            kernel_shape=[step, step],
            strides=[step, step],
        ),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
        helper.make_node("Unsqueeze", ["embedding", "channel"], ["apart"]),
        helper.make_node("Sub", ["apart", "centers"], ["difference"]),
        helper.make_node("ReduceL2", ["difference", "last"], ["distance"], keepdims=0),
        helper.make_node("Mul", ["distance", "distance"], ["squared"]),
        helper.make_node("Add", ["squared", "one"], ["kernel"]),
        helper.make_node("Reciprocal", ["kernel"], ["weight"]),
        helper.make_node("ReduceSum", ["weight", "channel"], ["total"], keepdims=1),
        helper.make_node("Div", ["weight", "total"], ["soft_assignment"]),
    ]
    graph = helper.make_graph(
        nodes,
        "phantom_kinds",
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["N", SIZE, SIZE])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width])
            for name, width in (
                ("embedding", _POOLED * _POOLED),
                ("soft_assignment", len(centers)),
                ("distance", len(centers)),
            )
        ],
        [
            constant("white", 255.0, np.float32),
            constant("one", 1.0, np.float32),
            constant("channel", [1], np.int64),
            constant("last", [2], np.int64),
            constant("centers", centers[None], np.float32),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
