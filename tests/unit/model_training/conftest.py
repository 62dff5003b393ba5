"""Phantom files to learn from, and one tiny bundle learnt from them."""

from pathlib import Path

import pytest

from tests.real_parts import require

KINDS = ("CT-HEAD", "CR-CHEST", "MG-BREAST", "US-ABDOMEN")
PATIENTS = 12


@pytest.fixture(scope="session", autouse=True)
def _training_packages() -> None:
    """Skip the folder where PyTorch is not installed."""
    from importlib.util import find_spec

    require(find_spec("torch"), "PyTorch is not installed")
    require(find_spec("sklearn"), "scikit-learn is not installed")


@pytest.fixture(scope="session")
def phantom_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of phantom files of four kinds."""
    from veritag.phantoms.series import phantom_series

    folder = tmp_path_factory.mktemp("phantoms")
    for kind in KINDS:
        for patient in range(PATIENTS):
            for n, ds in enumerate(
                phantom_series(kind, patient=patient, instances=2, seed=5, size=64)
            ):
                path = folder / f"{kind}-{patient}-{n}.dcm"
                ds.save_as(path, enforce_file_format=True)
    return folder
