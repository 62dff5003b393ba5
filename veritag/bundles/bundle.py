"""The sealed directory that holds a model and everything needed to use it rightly.

`bundle.json` names the SHA-256 of every other file and the bundle id is derived from
its own content, so that a changed bundle is never loaded and never mistaken.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from veritag.errors import BundleRejected
from veritag.pixels.preprocessing import Preprocessing

SCHEMA = 3
READ_SCHEMAS = (1, 2, SCHEMA)
"""Those that this version reads. Clusters of schema 1 have no names; models before
schema 3 tell clusters only, and their tags are judged by the clusters' profiles."""
MANIFEST = "bundle.json"
MODEL = "model.onnx"


@dataclass(frozen=True, slots=True)
class ClusterProfile:
    """What the training snapshot's tags say of one cluster.

    Attributes
    ----------
    cluster_id
        Stable over retrains; not the index of the model's output.
    profiles
        Keyword of a tag to (normalised value to weight), the q-weighted share of each
        value among the cluster's instances that carry the tag; each sums to 1.
    support
        Keyword of a tag to the q-weighted number of instances that carry it.
    name
        What people call it, such as `MR head sagittal`; empty where it has none.
    exemplars
        Numbers of the reference images nearest to its center.
    ranges
        Keyword of a numeric tag to the least and the greatest value that its images
        usually carry.
    """

    cluster_id: int
    profiles: dict[str, dict[str, float]]
    support: dict[str, float]
    name: str = ""
    exemplars: tuple[int, ...] = ()
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TagCalibration:
    """What the model has shown on held-out patients for one tag.

    Attributes
    ----------
    threshold
        Least score that is flagged; None where the model has not shown that it can
        tell: then the tag is never flagged.
    score_knots, probability_knots
        Piecewise linear map from score to the probability that the tag is wrong.
    """

    threshold: float | None
    score_knots: tuple[float, ...] = ()
    probability_knots: tuple[float, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Detectability:
    """What the model has shown of one received value on pictures of one Modality.

    Attributes
    ----------
    tag, concept
        What was received, as a concept.
    modality
        The Modality of the pictures; empty where it is not told.
    right, wrong
        Held-out images that rightly carry the value, and that were given it wrongly.
    false_alarms, found
        How many of either are flagged.
    precision
        Share of flags that would be right at the usual rate of errors, with what is
        known of the tag as a whole standing in for what few cases cannot show.
    judged
        Whether the model speaks here.
    """

    tag: str
    concept: str
    modality: str
    right: int
    wrong: int
    false_alarms: int
    found: int
    precision: float | None
    judged: bool


@dataclass(frozen=True, slots=True)
class BundleManifest:
    """All of a bundle but its files.

    Attributes
    ----------
    clusters
        In the order of the model's `soft_assignment` output.
    sharpness
        Exponent put on q before profiles are weighted; 1 leaves q as it is.
    novelty_limits
        Per cluster, the distance from the center beyond which an image is of a kind
        that the bundle does not know; of shape (n_clusters,).
    concepts
        Keyword to the concepts of the tag, which the columns of the model's
        `tag_probability` output stand for, tag after tag; empty before schema 3.
    mixture
        Keyword to how much clusters, heads and neighbors weigh in that output.
    familiar
        Novelty up to which tags are flagged; beyond it, up to 1, pictures are ranked
        only.
    correlation
        Keyword to how much the pictures of a series repeat one another, 0 to 1.
    references
        Keyword to the concept, by its place in `concepts`, that each reference image
        carries, -1 for none.
    detectability
        What can be judged, by received value and Modality.
    training
        Figures of the training run and of its check on unseen patients.
    lineage
        Snapshot digest, configuration, code version, sources.
    """

    preprocessing: Preprocessing
    clusters: tuple[ClusterProfile, ...]
    calibration: dict[str, TagCalibration]
    sharpness: float
    novelty_limits: tuple[float, ...]
    created_at: str
    concepts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    mixture: dict[str, dict[str, float]] = field(default_factory=dict)
    familiar: float = 1.0
    correlation: dict[str, float] = field(default_factory=dict)
    references: dict[str, tuple[int, ...]] = field(default_factory=dict)
    detectability: tuple[Detectability, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    lineage: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelBundle:
    """A verified bundle on disk."""

    bundle_id: str
    path: Path
    manifest: BundleManifest

    @property
    def model_path(self) -> Path:
        """The ONNX file.

        Input `tiles` uint8 [N, size, size]; outputs `embedding` [N, D],
        `soft_assignment` [N, K], `distance` [N, K] to the cluster centers and, from
        schema 3, `tag_probability` [N, V], `novelty` [N] (above 1 the kind is unknown)
        and `neighbors` [N, k], the numbers of the nearest reference images.
        """
        return self.path / MODEL


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _bundle_id(body: Mapping[str, Any]) -> str:
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return "vb-" + hashlib.sha256(canonical).hexdigest()[:16]


def _sealed_files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file() and p.name != MANIFEST)


def seal_bundle(path: Path, manifest: BundleManifest) -> ModelBundle:
    """Write `bundle.json` over the files that already lie in `path`; return the bundle."""
    body: dict[str, Any] = {"schema": SCHEMA, **asdict(manifest)}
    body["files"] = {
        p.relative_to(path).as_posix(): _sha256(p) for p in _sealed_files(path)
    }
    body = json.loads(json.dumps(body))
    body = {"bundle_id": _bundle_id(body), **body}
    temporary = path / (MANIFEST + ".part")
    temporary.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path / MANIFEST)
    return load_bundle(path)


def load_bundle(path: Path) -> ModelBundle:
    """Read and verify a bundle.

    Raises
    ------
    BundleRejected
        If a file is missing, added or changed, or if schema or preprocessing are not
        those of this version.
    """
    body = _read_manifest(path)
    if body.get("schema") not in READ_SCHEMAS:
        raise BundleRejected(
            f"{path}: bundle schema {body.get('schema')!r}, this version reads "
            f"{' and '.join(map(str, READ_SCHEMAS))}"
        )
    _verify_seal(path, body)
    try:
        manifest = _decode(body)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleRejected(
            f"{path}: {MANIFEST} is not understood: {error!r}"
        ) from error
    manifest.preprocessing.require_supported(str(path))
    return ModelBundle(body["bundle_id"], path, manifest)


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        body = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleRejected(f"{path}: no readable {MANIFEST}: {error}") from error
    if not isinstance(body, dict):
        raise BundleRejected(f"{path}: {MANIFEST} is not an object")
    return body


def _verify_seal(path: Path, body: Mapping[str, Any]) -> None:
    named = body.get("bundle_id")
    if _bundle_id({k: v for k, v in body.items() if k != "bundle_id"}) != named:
        raise BundleRejected(f"{path}: {MANIFEST} was changed after it was sealed")
    found = {p.relative_to(path).as_posix(): _sha256(p) for p in _sealed_files(path)}
    for name, digest in body.get("files", {}).items():
        if found.pop(name, None) != digest:
            raise BundleRejected(
                f"{path}: {name} is missing or was changed after sealing"
            )
    if found:
        raise BundleRejected(
            f"{path}: holds unsealed files: {', '.join(sorted(found))}"
        )


def _decode(body: Mapping[str, Any]) -> BundleManifest:
    return BundleManifest(
        preprocessing=Preprocessing(**body["preprocessing"]),
        clusters=tuple(_cluster(c) for c in body["clusters"]),
        calibration={
            tag: TagCalibration(
                c["threshold"],
                tuple(c["score_knots"]),
                tuple(c["probability_knots"]),
                c["figures"],
            )
            for tag, c in body["calibration"].items()
        },
        sharpness=float(body["sharpness"]),
        novelty_limits=tuple(body["novelty_limits"]),
        created_at=body["created_at"],
        concepts={tag: tuple(v) for tag, v in body.get("concepts", {}).items()},
        mixture=body.get("mixture", {}),
        familiar=float(body.get("familiar", 1.0)),
        correlation=body.get("correlation", {}),
        references={tag: tuple(v) for tag, v in body.get("references", {}).items()},
        detectability=tuple(Detectability(**d) for d in body.get("detectability", ())),
        training=body["training"],
        lineage=body["lineage"],
    )


def _cluster(body: Mapping[str, Any]) -> ClusterProfile:
    ranges = {tag: (low, high) for tag, (low, high) in body.get("ranges", {}).items()}
    exemplars = tuple(body.get("exemplars", ()))
    return ClusterProfile(**{**body, "exemplars": exemplars, "ranges": ranges})


def starter_bundle_path() -> Path:
    """Return the folder of the bundle that ships with the package."""
    return Path(str(files("veritag") / "starter"))


def resolve_bundle_path(bundles_dir: Path) -> Path:
    """Return the bundle in use: the folder itself, the one `active` names, or the starter.

    Raises
    ------
    BundleRejected
        If `active` names a bundle that is not there.
    """
    if (bundles_dir / MANIFEST).is_file():
        return bundles_dir
    active = bundles_dir / "active"
    if not active.is_file():
        return starter_bundle_path()
    path = bundles_dir / active.read_text(encoding="utf-8").strip()
    if not (path / MANIFEST).is_file():
        raise BundleRejected(
            f"{active} names {path.name}, which is not in {bundles_dir}"
        )
    return path
