"""Bundles for the pages, verified once and then cached."""

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
_CACHE_SIZE = 8


def bundle_in_use(settings: Settings) -> ModelBundle:
    """Return the bundle in use.

    Raises
    ------
    BundleRejected
        If it does not match its seal.
    OSError
        If it cannot be read.
    """
    return _load(resolve_bundle_path(settings.bundles_dir))


def exemplars_file(settings: Settings, bundle_id: str, cluster_id: int) -> Path | None:
    """Return the file of the pictures nearest to a cluster's center, None without."""
    if not _BUNDLE_ID.match(bundle_id):
        return None
    for path in (_folder(settings, bundle_id), starter_bundle_path()):
        file = path / EXEMPLARS / f"{cluster_id}.png"
        if file.is_file() and _load(path).bundle_id == bundle_id:
            return file
    return None


def _folder(settings: Settings, bundle_id: str) -> Path:
    is_bundle = (settings.bundles_dir / MANIFEST).is_file()
    return settings.bundles_dir if is_bundle else settings.bundles_dir / bundle_id


def _load(path: Path) -> ModelBundle:
    """Load a bundle, and verify it again whenever its manifest changed."""
    return _load_version(path, (path / MANIFEST).stat().st_mtime_ns)


@lru_cache(maxsize=_CACHE_SIZE)
def _load_version(path: Path, _mtime_ns: int) -> ModelBundle:
    return load_bundle(path)
