"""The folder of bundles: all bundles, the one in use, and those in use before.

`active` names the bundle in use, and `history` each one that was, a line each, newest
last. Both are small text files: a worker needs no database to find its model, and an
operator can read and correct them.
"""

import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from veritag.bundles.bundle import (
    MANIFEST,
    ModelBundle,
    load_bundle,
    resolve_bundle_path,
    starter_bundle_path,
)
from veritag.errors import BundleRejected, ConfigurationError

ACTIVE = "active"
HISTORY = "history"
STARTER = "starter"


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """A bundle in the registry.

    Attributes
    ----------
    name
        That of its folder, or `starter` for the one that ships with the package.
    bundle
        None where it is damaged; then `problem` has the reason.
    """

    name: str
    path: Path
    in_use: bool
    bundle: ModelBundle | None
    problem: str | None = None


def entries(bundles_dir: Path) -> list[BundleEntry]:
    """Return the starter bundle and every bundle of the folder, by name."""
    in_use = resolve_bundle_path(bundles_dir)
    paths = [starter_bundle_path()]
    if (bundles_dir / MANIFEST).is_file():
        paths.append(bundles_dir)
    elif bundles_dir.is_dir():
        paths += sorted(p.parent for p in bundles_dir.glob(f"*/{MANIFEST}"))
    return [_entry(path, in_use) for path in paths]


def _entry(path: Path, in_use: Path) -> BundleEntry:
    name = STARTER if path == starter_bundle_path() else path.name
    try:
        return BundleEntry(name, path, path == in_use, load_bundle(path))
    except BundleRejected as error:
        return BundleEntry(name, path, path == in_use, None, str(error))


def find(bundles_dir: Path, name: str) -> ModelBundle:
    """Return the bundle of this folder name, bundle id or path, verified.

    Raises
    ------
    BundleRejected
        If there is none, or if it is damaged.
    """
    for entry in entries(bundles_dir):
        if name == entry.name or (entry.bundle and entry.bundle.bundle_id == name):
            return entry.bundle or load_bundle(entry.path)
    return load_bundle(Path(name))


def promote(bundles_dir: Path, name: str) -> ModelBundle:
    """Make a bundle the one in use; one from elsewhere is copied into the folder first.

    Raises
    ------
    BundleRejected
        If there is no such bundle, or if it is damaged; the one in use stays.
    ConfigurationError
        If `bundles_dir` is itself a bundle: then no other can be in use.
    """
    if (bundles_dir / MANIFEST).is_file():
        raise ConfigurationError(
            f"VERITAG_BUNDLE_DIR names one bundle, {bundles_dir}; "
            "let it name a folder of bundles, or unset it, to choose among several"
        )
    bundle = find(bundles_dir, name)
    if bundle.path != starter_bundle_path() and bundle.path.parent != bundles_dir:
        bundle = _copied(bundles_dir, bundle)
    _activate(bundles_dir, _folder_name(bundle))
    return bundle


def rollback(bundles_dir: Path) -> ModelBundle:
    """Make the bundle that was in use before the one in use again.

    Raises
    ------
    BundleRejected
        If there was none before, or if it is gone or damaged; the one in use stays.
    """
    before = _history(bundles_dir)[:-1]
    if not before:
        raise BundleRejected(f"{bundles_dir}: no bundle was in use before")
    bundle = find(bundles_dir, _name(before[-1]))
    # In this order a rollback that a crash interrupts can be repeated.
    _set_active(bundles_dir, _folder_name(bundle))
    _write(bundles_dir / HISTORY, "\n".join(before))
    return bundle


def _folder_name(bundle: ModelBundle) -> str:
    return STARTER if bundle.path == starter_bundle_path() else bundle.path.name


def _copied(bundles_dir: Path, bundle: ModelBundle) -> ModelBundle:
    """Copy a bundle into the folder under its id, completely or not at all."""
    target = bundles_dir / bundle.bundle_id
    if not target.exists():
        partial = bundles_dir / f".{bundle.bundle_id}.part"
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(bundle.path, partial)
        partial.rename(target)
    return load_bundle(target)


def _activate(bundles_dir: Path, name: str) -> None:
    lines, in_use = _history(bundles_dir), _active(bundles_dir)
    if not lines or _name(lines[-1]) != in_use:
        # `active` was written by hand: a rollback leads back to that bundle.
        lines.append(in_use)
    if _name(lines[-1]) != name:
        # First, so that no bundle is ever in use that the history lacks.
        lines.append(f"{name} {datetime.now(UTC).isoformat(timespec='seconds')}")
        _write(bundles_dir / HISTORY, "\n".join(lines))
    _set_active(bundles_dir, name)


def _active(bundles_dir: Path) -> str:
    try:
        return (bundles_dir / ACTIVE).read_text(encoding="utf-8").strip() or STARTER
    except FileNotFoundError:
        return STARTER


def _set_active(bundles_dir: Path, name: str) -> None:
    if name == STARTER:
        (bundles_dir / ACTIVE).unlink(missing_ok=True)
    else:
        _write(bundles_dir / ACTIVE, name)


def _history(bundles_dir: Path) -> list[str]:
    """Return the lines `NAME MOMENT` of the bundles that were in use, oldest first."""
    try:
        text = (bundles_dir / HISTORY).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()]


def _name(line: str) -> str:
    return line.split(maxsplit=1)[0]


def _write(path: Path, text: str) -> None:
    """Replace a small file so that a crash leaves the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
