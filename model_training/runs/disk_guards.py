"""Checks of disk and folders before and during a training."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_training.process.publish_folder import disk_errors
from veritag.bundles.bundle import MANIFEST
from veritag.errors import ConfigurationError, StopError
from veritag.settings import Settings

SCRATCH_PREFIX = ".training-"
"""Start of the names of unfinished bundles, beside the finished ones."""
SCRATCH_AGE = 24 * 3600.0
"""Seconds after which the folder of an unfinished run counts as abandoned."""

LEAST_FREE = 1 << 20
"""Free bytes under which a disk counts as full: an encoder alone is larger."""
FULL = "the disk is full"


@contextmanager
def full_disk_reported(bundles_dir: Path) -> Iterator[None]:
    """Report a full disk, whatever error a library raises then.

    Raises
    ------
    StopError
        In place of any error while the disk is full.
    """
    what = f"the new bundle in {bundles_dir}"
    try:
        with disk_errors(what):
            bundles_dir.mkdir(parents=True, exist_ok=True)
            yield
    except Exception as error:
        # Libraries hide ENOSPC in errors of their own: the free space tells.
        if shutil.disk_usage(bundles_dir).free > LEAST_FREE or FULL in str(error):
            raise
        raise StopError(
            f"{FULL}: {what} could not be written; free some space"
        ) from error


def require_bundle_folder(bundles_dir: Path) -> None:
    """Refuse a training whose bundle could never be put to use.

    Raises
    ------
    ConfigurationError
        If `bundles_dir` is itself a bundle.
    """
    if (bundles_dir / MANIFEST).is_file():
        raise ConfigurationError(
            f"VERITAG_BUNDLE_DIR names one bundle, {bundles_dir}, which would stay in "
            "use after every training; let it name a folder of bundles, or unset it"
        )


def remove_scratch(bundles_dir: Path) -> None:
    """Remove the unfinished bundles of killed runs; none of them can be loaded."""
    for folder in bundles_dir.glob(f"{SCRATCH_PREFIX}*"):
        try:
            # Younger ones may belong to a `veritag train` beside this run.
            if time.time() - folder.stat().st_mtime > SCRATCH_AGE:
                shutil.rmtree(folder, ignore_errors=True)
        except FileNotFoundError:
            continue


def require_archive(settings: Settings) -> None:
    """Refuse a retraining of a data directory without records.

    Raises
    ------
    StopError
        If the data directory has no records.
    """
    if not settings.has_records:
        raise StopError(
            f"no records in {settings.data_dir}: there is no archive to learn from; "
            "name a data directory by --data, or use `veritag train --images`"
        )
