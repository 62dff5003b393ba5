"""Folders of drawn images for tests of training: DICOM files, and labelled pictures."""

import csv
from pathlib import Path

import cv2
import numpy as np

from veritag.phantoms.series import phantom_picture, phantom_series

KINDS = {
    "CT-HEAD": ("CT", "head"),
    "CR-CHEST": ("CR", "chest"),
    "MG-BREAST": ("MG", "breast"),
    "US-ABDOMEN": ("US", "abdomen"),
}
PATIENTS, LABELLED_PATIENTS = 12, 30
"""Of each kind."""


def write_phantoms(folder: Path) -> Path:
    """Write two DICOM files of each patient into a folder, and return it."""
    for kind in KINDS:
        for patient in range(PATIENTS):
            for n, ds in enumerate(
                phantom_series(kind, patient=patient, instances=2, seed=5, size=64)
            ):
                path = folder / f"{kind}-{patient}-{n}.dcm"
                ds.save_as(path, enforce_file_format=True)
    return folder


def write_labelled(folder: Path) -> Path:
    """Write a PNG file of each patient and `labels.csv` into a folder, and return it."""
    rng = np.random.default_rng(4)
    rows = []
    for kind, (modality, region) in KINDS.items():
        for patient in range(LABELLED_PATIENTS):
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
