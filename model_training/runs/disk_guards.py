"""What is made sure of before and around a retraining, so that it breaks nothing."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_training.process.publish_folder import disk_errors
from veritag.bundles.bundle import MANIFEST
from veritag.errors import ConfigurationError, StopError
from veritag.settings import Settings

SCRATCH = ".training-*"
SCRATCH_AGE = 24 * 3600.0

LEAST_FREE = 1 << 20
"""Bytes under which a disk is full: an encoder alone takes more."""
FULL = "the disk is full"


@contextmanager
def full_disk_reported(bundles_dir: Path) -> Iterator[None]:
    """Say that the disk is full, whatever a library makes of it.

    Raises
    ------
    StopError
        In place of any error while hardly anything is free.
    """
    what = f"the new bundle in {bundles_dir}"
    try:
        with disk_errors(what):
            bundles_dir.mkdir(parents=True, exist_ok=True)
            yield
    except Exception as error:
        if shutil.disk_usage(bundles_dir).free > LEAST_FREE or FULL in str(error):
            raise
        raise StopError(
            f"{FULL}: {what} could not be written; free some space"
        ) from error


def require_bundle_folder(bundles_dir: Path) -> None:
    """Refuse to train what could never be put to use.

    Raises
    ------
    ConfigurationError
        If `bundles_dir` is itself a bundle.
    """
    if (bundles_dir / MANIFEST).is_file():
        raise ConfigurationError(
            f"VERITAG_BUNDLE_DIR names one bundle, {bundles_dir}, which would stay in "
            "use whatever is trained; let it name a folder of bundles, or unset it"
        )


def remove_scratch(bundles_dir: Path) -> None:
    """Remove what runs that were killed long ago left behind; none of it can load."""
    for left in bundles_dir.glob(SCRATCH):
        try:
            if time.time() - left.stat().st_mtime > SCRATCH_AGE:
                shutil.rmtree(left, ignore_errors=True)
        except FileNotFoundError:
            continue


def require_archive(settings: Settings) -> None:
    """Refuse to retrain where there is nothing that a Veritag has received.

    Raises
    ------
    StopError
        If the data directory has no records.
    """
    if settings.database_url is None and not settings.sqlite_file.is_file():
        raise StopError(
            f"no records in {settings.data_dir}: there is no archive to learn from; "
            "name a data directory by --data, or use `veritag train --images`"
        )
