"""Synthetic DICOM instances of labelled pictures, with randomly drawn tags.

Tags and tile are read from them by `read_tags` and `make_tile`, as from any received
instance. The draws depend on the picture's name and the seed, not on the order.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from model_training.compare.images.tag_recipe import (
    COSINES,
    SPREAD,
    TILT,
    VIEWS,
    Shares,
    TagRecipe,
    recipe_of,
)
from model_training.snapshots.image_sources import (
    body_part_term,
    patient_key,
    station_key,
)
from model_training.snapshots.samples import Sample, numbers_of
from veritag.dicom.tags import read_tags
from veritag.pixels.preprocessing import Preprocessing
from veritag.pixels.tile import Tile, make_tile
from veritag.terms.concepts import normalize

ROOT = "1.2.840.10008.5.1.4.1.1."
TagDraws = Iterator[tuple[str, str | list[str]]]
Draw = Callable[[np.random.Generator], str | list[str]]


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """One row of a table of labels.

    Attributes
    ----------
    name
        Path inside its folder, which seeds the draws.
    patient
        Key of the patient; a picture without one is a patient of its own.
    view
        Plane or projection, empty if unknown.
    """

    name: str
    modality: str
    region: str
    view: str = ""
    patient: str = ""
    source: str = ""
    license: str = ""


def synthetic_instance(
    picture: LabelledPicture, gray: NDArray[np.uint8], seed: int = 0
) -> Dataset:
    """Return a picture (rows, columns) as a DICOM instance with drawn tags."""
    ds = _untagged_instance(picture, gray)
    for keyword, value in drawn_tags(picture, seed):
        setattr(ds, keyword, value)
    return ds


def tile_and_sample(
    picture: LabelledPicture, gray: NDArray[np.uint8], pre: Preprocessing, seed: int = 0
) -> tuple[Tile, Sample]:
    """Return tile and sample of a picture, read from its synthetic instance."""
    ds = synthetic_instance(picture, gray, seed)
    received = read_tags(ds)
    tags = {k: normalize(k, v) for k, v in received.items()}
    sample = Sample(
        tags={k: v for k, v in tags.items() if v},
        patient=patient_key(picture.source, picture.patient or picture.name),
        source=picture.source,
        license=picture.license,
        is_dicom=False,
        station=station_key(picture.source, str(ds.get("Manufacturer", ""))),
        numbers=numbers_of(received),
    )
    return make_tile(ds, pre), sample


def drawn_tags(picture: LabelledPicture, seed: int = 0) -> TagDraws:
    """Yield keyword and value of each tag of the picture's instance."""
    recipe = recipe_of(picture.modality)
    for keyword, (share, draw) in _draws(picture, recipe).items():
        # A generator for each tag: a changed share of one changes no other tag.
        rng = _generator(f"{keyword}|{picture.name}", seed)
        if rng.random() < share:
            yield keyword, draw(rng)


def _draws(
    picture: LabelledPicture, recipe: TagRecipe
) -> dict[str, tuple[float, Draw]]:
    """Return keyword to share and draw of the tags that such a picture can have."""

    def of(table: Mapping[str, Shares]) -> Shares:
        return table.get(picture.region, table.get("", {}))

    term = body_part_term(picture.region)
    time, exposure = recipe.doses.get(picture.region, recipe.doses.get("", (0.0, 0.0)))
    view = VIEWS.get(picture.view)
    planes = {view: 1.0} if view else of(recipe.planes)
    positions, kinds = of(recipe.positions), of(recipe.acquisitions)
    draws: dict[str, tuple[float, Draw]] = {
        "BodyPartExamined": (recipe.body_part if term else 0.0, lambda _: term or ""),
        "PatientPosition": (recipe.position, lambda rng: _pick(positions, rng)),
        "MRAcquisitionType": (recipe.acquisition, lambda rng: _pick(kinds, rng)),
        "Manufacturer": (recipe.vendor, lambda rng: _pick(recipe.vendors, rng)),
        "ImageOrientationPatient": (
            recipe.plane if planes else 0.0,
            lambda rng: _tilted(_pick(planes, rng), rng),
        ),
        "ExposureTime": (recipe.exposure, lambda rng: _dose(time, rng)),
        "Exposure": (recipe.exposure, lambda rng: _dose(exposure, rng)),
    }
    return draws


def _pick(shares: Shares, rng: np.random.Generator) -> str:
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def _dose(median: float, rng: np.random.Generator) -> str:
    """Return an Integer String around a median (PS3.5 6.2), at least 1."""
    return str(max(1, round(median * float(np.exp(rng.normal(0.0, SPREAD))))))


def _tilted(plane: str, rng: np.random.Generator) -> list[str]:
    """Return direction cosines of a plane, rotated by a few degrees about its rows."""
    row, column = np.array(COSINES[plane]).reshape(2, 3)
    angle = np.deg2rad(rng.normal(0.0, TILT))
    turned = np.cos(angle) * column + np.sin(angle) * np.cross(row, column)
    return [f"{v:.5f}" for v in (*row, *turned)]


def _generator(name: str, seed: int) -> np.random.Generator:
    digest = hashlib.blake2b(f"{seed}|{name}".encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def _untagged_instance(picture: LabelledPicture, gray: NDArray[np.uint8]) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ROOT + recipe_of(picture.modality).sop_class
    ds.SOPInstanceUID = generate_uid(entropy_srcs=[picture.source, picture.name])
    ds.Modality = picture.modality
    ds.Rows, ds.Columns = gray.shape
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    ds.PixelRepresentation = 0
    # Values have an even length (PS3.5 section 7.1).
    ds.PixelData = gray.tobytes() + b"\0" * (gray.size % 2)
    return ds
