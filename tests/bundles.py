"""A small real bundle, made from phantoms without any training.

Its embedding is the tile averaged to 8 x 8; each kind of phantom is a cluster around
the mean of a few patients. Enough for a worker to tell kinds apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from pydicom import Dataset

from veritag.bundles.bundle import MODEL, ModelBundle, seal_bundle
from veritag.bundles.graph import INPUT, OUTPUTS
from veritag.bundles.manifest import BundleManifest, ClusterProfile, TagCalibration
from veritag.dicom.tags import read_tags
from veritag.phantoms.series import phantom_series
from veritag.pixels.preprocessing import Preprocessing
from veritag.pixels.tile import make_tile
from veritag.terms.concepts import normalize

KINDS = ("CT-CHEST", "CT-HEAD", "MR-KNEE", "CR-HAND")
SIZE = 64
TAGS = ("Modality", "BodyPartExamined")
_POOLED = 8
_SHARPNESS = 8.0

Profiles = Mapping[str, Mapping[str, float]]
"""Keyword of a tag to the shares of its concepts."""


@dataclass(frozen=True)
class PhantomKind:
    """One cluster of the bundle.

    Attributes
    ----------
    center
        Mean embedding, of shape (64,).
    limit
        Distance from the center beyond which the kind of picture is unknown.
    """

    center: NDArray[np.float32]
    limit: float
    profiles: Profiles


def make_bundle(
    path: Path,
    kinds: Sequence[str] = KINDS,
    created_at: str = "2026-01-01",
    *,
    profiles: Mapping[str, Profiles] | None = None,
    unknown: Sequence[str] = (),
) -> ModelBundle:
    """Write and seal a bundle that knows these kinds of phantoms.

    Parameters
    ----------
    profiles
        Kind to shares of concepts that it has instead of the phantom's own tags.
    unknown
        Kinds of which hardly any picture counts as known.
    """
    path.mkdir(parents=True, exist_ok=True)
    learnt = [
        _learn(kind, (profiles or {}).get(kind, {}), known=kind not in unknown)
        for kind in kinds
    ]
    concepts = {
        tag: tuple(sorted({c for one in learnt for c in one.profiles[tag]}))
        for tag in TAGS
    }
    _write_model(path / MODEL, learnt, concepts)
    calibration = TagCalibration(0.7, (0.0, 1.0), (0.0, 1.0))
    return seal_bundle(
        path,
        BundleManifest(
            preprocessing=Preprocessing(size=SIZE),
            clusters=tuple(
                ClusterProfile(
                    100 + k,
                    {tag: dict(shares) for tag, shares in one.profiles.items()},
                    dict.fromkeys(one.profiles, 8.0),
                )
                for k, one in enumerate(learnt)
            ),
            calibration=dict.fromkeys(TAGS, calibration),
            sharpness=_SHARPNESS,
            created_at=created_at,
            concepts=concepts,
        ),
    )


def _learn(kind: str, profiles: Profiles, *, known: bool) -> PhantomKind:
    datasets = [
        ds
        for p in (1, 2)
        for ds in phantom_series(kind, patient=p, instances=4, seed=99)
    ]
    embeddings = np.stack([_embed(ds) for ds in datasets])
    center = embeddings.mean(axis=0)
    limit = 2.5 * float(np.linalg.norm(embeddings - center, axis=1).max())
    tags = read_tags(datasets[0])
    own = {tag: {str(normalize(tag, tags[tag])): 1.0} for tag in TAGS}
    return PhantomKind(center, limit if known else 1e-6, {**own, **profiles})


def _embed(ds: Dataset) -> NDArray[np.float32]:
    step = SIZE // _POOLED
    tile = make_tile(ds, Preprocessing(size=SIZE))
    blocks = tile.reshape(_POOLED, step, _POOLED, step).astype(np.float32) / 255
    pooled: NDArray[np.float32] = blocks.mean(axis=(1, 3)).ravel()
    return pooled


def _write_model(
    path: Path, kinds: Sequence[PhantomKind], concepts: Mapping[str, Sequence[str]]
) -> None:
    centers = np.stack([kind.center for kind in kinds])
    shares = [
        [kind.profiles[tag].get(c, 0.0) for tag in concepts for c in concepts[tag]]
        for kind in kinds
    ]
    constants = {
        "white": np.float32(255),
        "one": np.float32(1),
        "channel": np.array([1]),
        "last": np.array([2]),
        "centers": centers[None].astype(np.float32),
        "limits": np.array([kind.limit for kind in kinds], np.float32),
        "sharpness": np.float32(_SHARPNESS),
        "least": np.float32(1e-30),
        "shares": np.array(shares, np.float32),
    }
    lengths = {
        "D": _POOLED * _POOLED, "K": len(kinds), "V": len(shares[0]), "k": 1,
    }  # fmt: skip
    graph = helper.make_graph(
        _nodes(),
        "phantom_kinds",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["n", SIZE, SIZE])],
        [
            helper.make_tensor_value_info(
                name,
                helper.np_dtype_to_tensor_dtype(np.dtype(kind.dtype)),
                [lengths.get(axis, axis) for axis in kind.axes],
            )
            for name, kind in OUTPUTS.items()
        ],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _nodes() -> list[onnx.NodeProto]:
    step = SIZE // _POOLED
    node = helper.make_node
    return [
        node("Cast", ["tiles"], ["raw"], to=TensorProto.FLOAT),
        node("Div", ["raw", "white"], ["scaled"]),
        node("Unsqueeze", ["scaled", "channel"], ["image"]),
        node(
            "AveragePool",
            ["image"],
            ["pooled"],
            kernel_shape=[step, step],
            strides=[step, step],
        ),
        node("Flatten", ["pooled"], ["embedding"]),
        # Distance to each center, and q of eq. 11 with one degree of freedom.
        node("Unsqueeze", ["embedding", "channel"], ["apart"]),
        node("Sub", ["apart", "centers"], ["difference"]),
        node("ReduceL2", ["difference", "last"], ["distance"], keepdims=0),
        node("Mul", ["distance", "distance"], ["squared"]),
        node("Add", ["squared", "one"], ["kernel"]),
        node("Reciprocal", ["kernel"], ["weight"]),
        node("ReduceSum", ["weight", "channel"], ["total"], keepdims=1),
        node("Div", ["weight", "total"], ["soft_assignment"]),
        # The clusters' profiles, weighed by the sharpened q.
        node("Max", ["soft_assignment", "least"], ["positive"]),
        node("Log", ["positive"], ["log_q"]),
        node("Mul", ["log_q", "sharpness"], ["sharp"]),
        node("Softmax", ["sharp"], ["sharpened"], axis=1),
        node("MatMul", ["sharpened", "shares"], ["tag_probability"]),
        # Distance to the nearest center over its limit; each cluster is one neighbor.
        node("ArgMin", ["distance"], ["neighbors"], axis=1, keepdims=1),
        node("Div", ["distance", "limits"], ["beyond"]),
        node("GatherElements", ["beyond", "neighbors"], ["nearest"], axis=1),
        node("Squeeze", ["nearest", "channel"], ["novelty"]),
    ]
