"""Bundles as the pages show them: verified once, then kept in memory."""

import re
from functools import lru_cache
from pathlib import Path

from veritag.bundles.bundle import (
    MANIFEST,
    ModelBundle,
    load_bundle,
    resolve_bundle_path,
    starter_bundle_path,
)
from veritag.settings import Settings

EXEMPLARS = "exemplars"

_BUNDLE_ID = re.compile(r"^vb-[0-9a-f]{16}$")
_KEPT = 8


def bundle_in_use(settings: Settings) -> ModelBundle:
    """Return the bundle that judges now; raises BundleRejected or OSError."""
    return _load(resolve_bundle_path(settings.bundles_dir))


def exemplars_file(settings: Settings, bundle_id: str, cluster_id: int) -> Path | None:
    """Return the pictures nearest to a cluster's center, None where there are none."""
    if not _BUNDLE_ID.match(bundle_id):
        return None
    for path in (_folder(settings, bundle_id), starter_bundle_path()):
        file = path / EXEMPLARS / f"{cluster_id}.png"
        if file.is_file() and _load(path).bundle_id == bundle_id:
            return file
    return None


def _folder(settings: Settings, bundle_id: str) -> Path:
    alone = (settings.bundles_dir / MANIFEST).is_file()
    return settings.bundles_dir if alone else settings.bundles_dir / bundle_id


def _load(path: Path) -> ModelBundle:
    """Load a bundle; a folder that changes is read and verified anew."""
    return _loaded(path, (path / MANIFEST).stat().st_mtime_ns)


@lru_cache(maxsize=_KEPT)
def _loaded(path: Path, _changed: int) -> ModelBundle:
    return load_bundle(path)
