"""A drawn set of pictures of known kind, as a folder with a table of labels."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from veritag.phantoms.series import phantom_picture

KINDS = {
    "CT-HEAD": ("CT", "head"),
    "CR-CHEST": ("CR", "chest"),
    "MG-BREAST": ("MG", "breast"),
    "US-ABDOMEN": ("US", "abdomen"),
}
PATIENTS = 30


@pytest.fixture(scope="session")
def labelled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return drawn pictures of four kinds, a patient each, with their labels."""
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(4)
    rows = []
    for kind, (modality, region) in KINDS.items():
        for patient in range(PATIENTS):
            name = f"{kind}-{patient}.png"
            picture = phantom_picture(kind, rng, 48).astype(np.float32)
            gray = (picture / max(1.0, float(picture.max())) * 255).astype(np.uint8)
            cv2.imwrite(str(folder / name), gray)
            rows.append(
                {
                    "path": name,
                    "modality": modality,
                    "region": region,
                    "source_repo": f"drawn-{patient % 2}",
                    "patient_key": f"{kind}-{patient}",
                }
            )
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder
