"""Studies of the demo: real images, correct phantoms, and phantoms with a wrong tag."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom

from veritag.phantoms.series import KINDS, phantom_series, plant_wrong_tag

_SEED = 20_261_122  # other than the seed of the starter bundle's training
_CLEAN_PATIENTS = 2
_INSTANCES = {"CT": 8, "MR": 8, "US": 4}
_PROJECTIONS = 2


@dataclass(frozen=True, slots=True)
class PlantedError:
    """A series with one wrong value that the demo has written."""

    kind: str
    keyword: str
    wrong: str
    right: str
    series_instance_uid: str
    study_instance_uid: str


@dataclass(frozen=True, slots=True)
class DemoStudies:
    """The written synthetic series: those with an error, and the clean ones."""

    planted: tuple[PlantedError, ...]
    clean_series: frozenset[str]


# Gross mistakes, such as the protocol of the previous patient.
_PLANTED = (
    ("CT-HEAD", "BodyPartExamined", "KNEE"),
    ("MR-KNEE", "BodyPartExamined", "BRAIN"),
    ("MR-LSPINE", "BodyPartExamined", "BRAIN"),
    ("CR-CHEST", "BodyPartExamined", "HAND"),
    ("CR-HAND", "BodyPartExamined", "CHEST"),
    ("US-ABDOMEN", "BodyPartExamined", "BREAST"),
    ("MR-BRAIN", "Modality", "CT"),
)


def write_studies(folder: Path) -> DemoStudies:
    """Write the synthetic studies as Part 10 files."""
    clean = set()
    for kind in KINDS:
        for patient in range(_CLEAN_PATIENTS):
            clean.add(_write(folder, kind, patient)[0])
    planted = tuple(_plant(folder, n, *error) for n, error in enumerate(_PLANTED))
    return DemoStudies(planted, frozenset(clean))


def _plant(
    folder: Path, number: int, kind: str, keyword: str, wrong: str
) -> PlantedError:
    series, study, right = _write(folder, kind, 100 + number, keyword, wrong)
    return PlantedError(kind, keyword, wrong, right, series, study)


def _write(
    folder: Path, kind: str, patient: int, keyword: str = "", wrong: str = ""
) -> tuple[str, str, str]:
    """Write one series; return its UID, its study's UID and the correct value."""
    count = _INSTANCES.get(kind.partition("-")[0], _PROJECTIONS)
    datasets = phantom_series(kind, patient=patient, instances=count, seed=_SEED)
    right = str(datasets[0].get(keyword, "")) if keyword else ""
    if keyword:
        plant_wrong_tag(datasets, keyword, wrong)
    for n, ds in enumerate(datasets):
        ds.save_as(folder / f"{kind}-{patient:03d}-{n}.dcm", enforce_file_format=True)
    return datasets[0].SeriesInstanceUID, datasets[0].StudyInstanceUID, right


def real_files() -> Iterator[Path]:
    """Yield the real images of pydicom's test files that C-STORE can send.

    The folder also holds directories, reports, plans and deliberately damaged files,
    which are skipped.
    """
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    uids = set()
    for path in sorted(folder.glob("*.dcm")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged on purpose
            uid = _image_uid(path)
        # Many files are one image, SOP Instance UID included, in several encodings.
        if uid and uid not in uids:
            uids.add(uid)
            yield path


def _image_uid(path: Path) -> str | None:
    try:
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        meta, sop_class = ds.file_meta, ds.SOPClassUID
        meta_uids = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        same = meta_uids == (sop_class, ds.SOPInstanceUID)
    except Exception:  # noqa: BLE001 - damaged on purpose
        return None
    needed = "StudyInstanceUID" in ds and "SeriesInstanceUID" in ds
    usable = same and needed and "Image Storage" in sop_class.name
    return str(ds.SOPInstanceUID) if usable else None
