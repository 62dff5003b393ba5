"""Phantom series are valid, distinct and repeatable."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from veritag.phantoms.series import (
    KINDS,
    expected_tags,
    phantom_picture,
    phantom_series,
    plant_wrong_tag,
)

SMALL = 64


def small_series(kind: str, patient: int = 1, instances: int = 3) -> list[Dataset]:
    return phantom_series(
        kind, patient=patient, instances=instances, seed=5, size=SMALL
    )


def encoded(ds: Dataset) -> bytes:
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_every_instance_survives_a_file(kind: str, tmp_path: Path) -> None:
    """A written phantom reads back with the tags of its kind and pixels that vary."""
    path = tmp_path / "phantom.dcm"
    small_series(kind)[1].save_as(path, enforce_file_format=True)
    ds = pydicom.dcmread(path)
    assert max(ds.Rows, ds.Columns) == SMALL
    assert len(np.unique(ds.pixel_array)) > 20
    for keyword, value in expected_tags(kind).items():
        assert ds[keyword].value == value
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert UID(ds.SOPClassUID).name.endswith(("Storage", "For Presentation"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_arguments_give_the_same_bytes(kind: str) -> None:
    """Equal arguments give equal bytes."""
    first, second = small_series(kind), small_series(kind)
    assert [encoded(ds) for ds in first] == [encoded(ds) for ds in second]


@pytest.mark.parametrize("kind", KINDS)
def test_patients_differ(kind: str) -> None:
    """Another patient number gives another Patient ID, picture and other UIDs."""
    one, other = small_series(kind)[0], small_series(kind, patient=2)[0]
    assert one.PatientID != other.PatientID
    assert one.StudyInstanceUID != other.StudyInstanceUID
    assert not np.array_equal(one.pixel_array, other.pixel_array)


def test_a_series_is_one_series_of_different_slices() -> None:
    """Instances share study and series, but each has its own number, UID and pixels."""
    series = small_series("CT-CHEST", instances=4)
    assert len({ds.SeriesInstanceUID for ds in series}) == 1
    assert len({ds.SOPInstanceUID for ds in series}) == 4
    assert [ds.InstanceNumber for ds in series] == [1, 2, 3, 4]
    assert not np.array_equal(series[0].pixel_array, series[3].pixel_array)


def test_kinds_look_different() -> None:
    """A picture resembles the others of its kind more than those of other kinds."""

    def tile(kind: str, patient: int) -> np.ndarray:
        ds = phantom_series(kind, patient=patient, instances=1, seed=9, size=32)[0]
        gray = ds.pixel_array.astype(float)
        gray = gray[..., 0] if gray.ndim == 3 else gray
        if ds.PhotometricInterpretation == "MONOCHROME1":
            gray = gray.max() - gray
        square = np.zeros((32, 32))
        square[: gray.shape[0], : gray.shape[1]] = gray / gray.max()
        return square

    pictures = {kind: [tile(kind, p) for p in range(4)] for kind in KINDS}
    recognized = sum(
        kind
        == min(
            KINDS,
            key=lambda k: min(float(((old - new) ** 2).mean()) for old in pictures[k]),
        )
        for kind in KINDS
        for new in [tile(kind, 50), tile(kind, 51)]
    )
    assert recognized >= 2 * len(KINDS) - 4


def test_ct_pixels_are_hounsfield_units() -> None:
    """Air around the patient is near -1000 after rescaling, and bone is bright."""
    ds = small_series("CT-HEAD")[1]
    hounsfield = ds.pixel_array * ds.RescaleSlope + ds.RescaleIntercept
    assert np.percentile(hounsfield, 2) == pytest.approx(-1000, abs=60)
    assert hounsfield.max() > 700


def test_a_planted_value_is_in_every_instance() -> None:
    """A wrong value is written into each instance; None deletes the element."""
    series = small_series("MR-KNEE")
    plant_wrong_tag(series, "BodyPartExamined", "BRAIN")
    assert {ds.BodyPartExamined for ds in series} == {"BRAIN"}
    plant_wrong_tag(series, "BodyPartExamined", None)
    assert not any("BodyPartExamined" in ds for ds in series)


def test_a_picture_is_drawn_at_any_size() -> None:
    """Pictures for training have the requested size and are unsigned integers."""
    picture = phantom_picture("CR-HAND", np.random.default_rng(1), 48)
    assert max(picture.shape) == 48
    assert picture.dtype == np.uint16
    assert phantom_picture("US-ABDOMEN", np.random.default_rng(1), 48).dtype == np.uint8


def test_radiographs_come_in_both_photometric_interpretations() -> None:
    """Some radiographs are MONOCHROME1, as some plate readers write them."""
    interpretations = {
        small_series("CR-CHEST", patient=p, instances=1)[0].PhotometricInterpretation
        for p in range(12)
    }
    assert interpretations == {"MONOCHROME1", "MONOCHROME2"}
