"""Sources of images to learn from: folders that list images with tags and patient."""

import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

LABELS = "labels.csv"
MANIFEST = "manifest.csv"
RESEARCH = "research"

# Curated regions as Body Part Examined terms of PS3.16 Annex L. The term of any other
# region is its name in capitals without blanks and hyphens (lower-leg: LOWERLEG).
REGION_TERMS: Mapping[str, str | None] = {
    "abdomen and pelvis": "ABDOMENPELVIS",
    "cervical-spine": "CSPINE",
    "dental": "JAW",
    "fetal-head": "HEAD",
    "jaw region": "JAW",
    "lumbar-spine": "LSPINE",
    "sinus": "HEAD",
    "thoracic-spine": "TSPINE",
    # A test object or an unclear image has no body part to learn.
    "phantom": None,
    "unknown": None,
}


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image to learn from.

    Attributes
    ----------
    tags
        Curated values by keyword; they replace those in the file, and None removes a
        tag.
    patient
        Equal for images of one patient; None: the file's Patient ID.
    license
        As the source states it; empty where it states none.
    """

    path: Path
    source: str
    tags: Mapping[str, str | None] = field(default_factory=dict)
    patient: str | None = None
    license: str = ""


def image_entries(folder: Path, *, with_research: bool = False) -> Iterator[ImageEntry]:
    """List the images under a folder, or the one file itself.

    A folder with `labels.csv` holds pictures of known modality and region, one with
    `manifest.csv` DICOM files with curated regions, any other folder DICOM files whose
    tags are taken as they are.
    """
    if (folder / LABELS).is_file():
        yield from _labelled(folder, with_research=with_research)
    elif (folder / MANIFEST).is_file():
        yield from _curated(folder)
    elif folder.is_file():
        yield ImageEntry(folder, folder.parent.name)
    else:
        files = (p for p in folder.rglob("*") if p.is_file() and p.name[0] != ".")
        yield from (ImageEntry(path, folder.name) for path in sorted(files))


def _rows(table: Path) -> Iterable[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _labelled(folder: Path, *, with_research: bool) -> Iterator[ImageEntry]:
    for row in _rows(folder / LABELS):
        if row.get("license_class") == RESEARCH and not with_research:
            continue
        yield ImageEntry(
            path=folder / row["path"],
            source=row.get("source_repo") or folder.name,
            tags={
                "Modality": row["modality"],
                "BodyPartExamined": body_part_term(row["region"]),
            },
            # An image without a known patient counts as a patient of its own.
            patient=row.get("patient_key") or row["path"],
            license=row.get("license_class", ""),
        )


def _curated(folder: Path) -> Iterator[ImageEntry]:
    for row in _rows(folder / MANIFEST):
        if row.get("group", "image") != "image":
            continue
        curated = (
            {"BodyPartExamined": body_part_term(row["region"])}
            if row.get("region")
            else {}
        )
        yield ImageEntry(
            path=folder / row["path"],
            source=row.get("source_repo") or folder.name,
            tags=curated,
            patient=row.get("patient_key") or None,
            license=row.get("license", ""),
        )


def body_part_term(name: str) -> str | None:
    """Return the Body Part Examined term of a curated region."""
    name = name.strip().lower()
    if name in REGION_TERMS:
        return REGION_TERMS[name]
    return name.upper().replace("-", "").replace(" ", "") or None


def patient_key(source: str, patient: str) -> str:
    """Return a pseudonymous key of a patient."""
    return hashlib.blake2b(f"{source}|{patient}".encode(), digest_size=8).hexdigest()


def station_key(*device: str) -> str:
    """Return a pseudonymous key of a station."""
    name = "|".join(part.strip().upper() for part in device)
    return hashlib.blake2b(f"station|{name}".encode(), digest_size=8).hexdigest()
