"""The sealed directory that holds a model and everything needed to use it correctly.

`bundle.json` names the SHA-256 of every other file, and the bundle id is derived from
the content of `bundle.json`: a changed bundle is refused, and no two have one id.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from veritag.bundles.manifest import BundleManifest
from veritag.errors import BundleRejected

SCHEMA = 1
MANIFEST = "bundle.json"
MODEL = "model.onnx"


@dataclass(frozen=True, slots=True)
class ModelBundle:
    """A verified bundle on disk."""

    bundle_id: str
    path: Path
    manifest: BundleManifest

    @property
    def model_path(self) -> Path:
        """The ONNX file; `veritag.bundles.graph` describes its input and outputs."""
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
    # The id is that of the content as it is read back: tuples are lists in JSON.
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
    if body.get("schema") != SCHEMA:
        raise BundleRejected(
            f"{path}: the bundle has schema {body.get('schema')!r}, this version of "
            f"Veritag reads schema {SCHEMA} only; train it again with this version, "
            "or use the starter bundle"
        )
    _verify_seal(path, body)
    try:
        manifest = _manifests().validate_python(body)
    except ValidationError as error:
        raise BundleRejected(f"{path}: {_first_problem(error)}") from error
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
    bundle_id = body.get("bundle_id")
    if _bundle_id({k: v for k, v in body.items() if k != "bundle_id"}) != bundle_id:
        raise BundleRejected(f"{path}: {MANIFEST} was changed after it was sealed")
    digests = {p.relative_to(path).as_posix(): _sha256(p) for p in _sealed_files(path)}
    for name, digest in body.get("files", {}).items():
        if digests.pop(name, None) != digest:
            raise BundleRejected(
                f"{path}: {name} is missing or was changed after sealing"
            )
    if digests:
        raise BundleRejected(
            f"{path}: holds unsealed files: {', '.join(sorted(digests))}"
        )


@cache
def _manifests() -> TypeAdapter[BundleManifest]:
    # Built at the first use: most commands load no bundle.
    return TypeAdapter(BundleManifest)


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    place = ".".join(map(str, problem["loc"]))
    return f"{MANIFEST} has a wrong value at {place}: {problem['msg']}"


def starter_bundle_path() -> Path:
    """Return the folder of the bundle that ships with the package."""
    return Path(str(files("veritag") / "starter"))


def resolve_bundle_path(bundles_dir: Path) -> Path:
    """Return the bundle in use: the folder itself, the one `active` names, or the starter.

    Raises
    ------
    BundleRejected
        If `active` names a bundle that does not exist.
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
