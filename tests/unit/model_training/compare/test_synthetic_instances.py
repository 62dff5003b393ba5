"""Pictures of known kind wrapped as DICOM, and how they are split."""

from pathlib import Path

import numpy as np
import pytest

from model_training.compare.images.labelled import (
    LabelledSet,
    list_labelled,
    read_labelled,
    thin,
)
from model_training.compare.images.parts import split
from model_training.compare.images.synthetic_instances import (
    Picture,
    drawn_tags,
    take,
    wrap,
)
from veritag.dicom.tags import JUDGED_TAGS, read_tags
from veritag.errors import ConfigurationError, StopError
from veritag.pixels.preprocessing import Preprocessing
from veritag.pixels.tile import tile_from_gray
from veritag.terms.concepts import is_defined
from veritag.terms.sop_classes import MODALITIES_OF

GRAY = np.arange(40 * 30, dtype=np.uint16).reshape(40, 30).astype(np.uint8)
X_RAY = {"CR", "PX", "MG", "RF", "XA", "CT"}
SHARES = {"CR": 1 / 3, "MG": 1 / 3, "PX": 1 / 3, "CT": 0.8, "MR": 0.8, "US": 0.5}


def _tags(modality: str, region: str, number: int, view: str = "") -> dict[str, object]:
    picture = Picture(f"images/{number}.png", modality, region, view)
    return dict(read_tags(wrap(picture, GRAY)))


@pytest.mark.parametrize("modality", sorted(SHARES))
def test_body_parts_are_missing_as_often_as_the_recipe_says(modality: str) -> None:
    """A third of the radiographs and four fifths of CT and MR tell their body part."""
    told = ["BodyPartExamined" in _tags(modality, "chest", n) for n in range(600)]
    assert np.mean(told) == pytest.approx(SHARES[modality], abs=0.06)


def test_each_tag_stands_only_where_such_a_modality_has_it() -> None:
    """Exposure needs X-rays, planes and positions tomography, acquisition types MR."""
    for modality in (*SHARES, "RF", "XA", "NM"):
        found = {k for n in range(60) for k in _tags(modality, "head", n, "axial")}
        assert ("Exposure" in found) == (modality in X_RAY)
        assert ("ExposureTime" in found) == (modality in X_RAY)
        assert ("PatientPosition" in found) == (modality in {"CT", "MR", "NM"})
        assert ("MRAcquisitionType" in found) == (modality == "MR")
        assert {"Modality", "Manufacturer"} <= found
        assert found <= set(JUDGED_TAGS)


def test_the_view_of_a_picture_becomes_its_plane() -> None:
    """A sagittal slice never gets the cosines of another plane."""
    pre = Preprocessing(size=32)
    for n in range(40):
        picture = Picture(f"{n}.png", "MR", "head", "sagittal")
        _, sample = take(picture, GRAY, pre)
        assert sample.tags.get("ImageOrientationPatient", "SAGITTAL") == "SAGITTAL"


def test_a_wrapped_picture_is_seen_as_the_picture_itself() -> None:
    """Tile and tags come by the same way as those of a received object."""
    pre = Preprocessing(size=32)
    tile, sample = take(Picture("a.png", "CT", "chest", source="s"), GRAY, pre)
    np.testing.assert_array_equal(tile, tile_from_gray(GRAY, pre))
    assert sample.tags["Modality"] == "CT"
    assert not sample.is_dicom
    assert all(len(v) in {1, 6} for v in sample.numbers.values())


def test_the_draws_hang_on_the_name_alone() -> None:
    """The same picture gets the same tags whenever it is wrapped, another one others."""
    one, other = Picture("a.png", "CT", "head"), Picture("b.png", "CT", "head")
    assert dict(drawn_tags(one)) == dict(drawn_tags(one))
    assert dict(drawn_tags(one)) != dict(drawn_tags(other))
    assert dict(drawn_tags(one)) != dict(drawn_tags(one, seed=1))


def test_no_rule_objects_to_a_wrapped_picture() -> None:
    """SOP Class and modality agree, and every value is a defined term."""
    for modality in ("CT", "MR", "CR", "PX", "MG", "US", "NM", "XA", "RF"):
        ds = wrap(Picture("a.png", modality, "lower-leg", "axial"), GRAY)
        assert modality in MODALITIES_OF[ds.SOPClassUID]
        assert all(is_defined(k, v) for k, v in read_tags(ds).items())


def _read(folder: Path, limit: int = 0) -> LabelledSet:
    data = read_labelled(list_labelled(folder), Preprocessing(size=32))
    return thin(data, limit)


def test_the_truth_is_kept_apart_from_the_tags(labelled_folder: Path) -> None:
    """Most radiographs carry no body part while their region is known to the report."""
    data = _read(labelled_folder)
    chests = data.part(data.region == "chest")
    told = chests.snapshot.values("BodyPartExamined")
    assert (chests.modality == "CR").all()
    assert 0 < (told == "CHEST").sum() < len(chests) * 0.7
    assert set(told.tolist()) == {"", "CHEST"}


def test_thinning_caps_a_cell_and_keeps_small_ones(labelled_folder: Path) -> None:
    """Of every modality, region and source at most the limit is left."""
    data = _read(labelled_folder)
    kept = thin(data, 5)
    cells = _cells(kept)
    assert max(cells.count(cell) for cell in cells) == 5
    assert set(cells) == set(_cells(data))
    assert len(thin(data, 1000)) == len(data)


def _cells(data: LabelledSet) -> list[tuple[str, str, str]]:
    kinds = (data.modality.tolist(), data.region.tolist(), data.source.tolist())
    return list(zip(*kinds, strict=True))


def test_the_unseen_are_never_thinned(labelled_folder: Path) -> None:
    """A limit leaves fewer images to train on and the same ones to report."""
    data = _read(labelled_folder)
    whole, thinned = split(data), split(data, limit=8)
    assert len(thinned.training) < len(whole.training)
    assert thinned.unseen.snapshot.digest() == whole.unseen.snapshot.digest()


def test_no_patient_is_on_both_sides(labelled_folder: Path) -> None:
    """What is reported was never trained on, and adding images moves nobody."""
    data = _read(labelled_folder)
    parts = split(data)
    assert not set(parts.training.patients) & set(parts.unseen.patients)
    assert 0.15 < len(parts.unseen) / len(data) < 0.45
    half = split(data.part(np.arange(len(data)) % 3 > 0))
    assert set(half.unseen.patients) <= set(parts.unseen.patients)


def test_the_dicom_part_is_told_by_itself(labelled_folder: Path) -> None:
    """A set of wrapped pictures alone has one part; there is no object in it."""
    assert list(split(_read(labelled_folder)).reports()) == ["all"]


def test_one_kind_alone_is_refused(labelled_folder: Path) -> None:
    """Nothing can be told apart where all is alike."""
    data = _read(labelled_folder)
    with pytest.raises(StopError, match="one modality and region"):
        split(data.part(data.region == "chest"))


def test_too_few_images_are_refused(labelled_folder: Path) -> None:
    """The message tells how many there are and how many it takes."""
    with pytest.raises(StopError, match="at least 20"):
        split(_read(labelled_folder, limit=4))


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    """The message names both tables that would do."""
    with pytest.raises(ConfigurationError, match=r"labels\.csv nor manifest\.csv"):
        list_labelled(tmp_path)


def test_a_table_without_regions_is_refused(tmp_path: Path) -> None:
    """The message names the column that is missing."""
    (tmp_path / "labels.csv").write_text("path,modality\na.png,CR\n")
    with pytest.raises(ConfigurationError, match="lacks the columns region"):
        list_labelled(tmp_path)


def test_unreadable_pictures_are_counted(labelled_folder: Path, tmp_path: Path) -> None:
    """A broken file costs itself and is told; if all are broken the command stops."""
    (tmp_path / "labels.csv").write_text("path,modality,region\na.png,CR,chest\n")
    (tmp_path / "a.png").write_bytes(b"no picture")
    broken = list_labelled(tmp_path)
    with pytest.raises(StopError, match="none of the images"):
        read_labelled(broken, Preprocessing(size=32))
    both = [*list_labelled(labelled_folder)[:20], *broken]
    data = read_labelled(both, Preprocessing(size=32))
    assert data.snapshot.left_out == {"no readable picture": 1}
    assert len(data) == len(both) - 1


def test_the_corpus_keeps_the_tags_that_it_came_with(corpus: Path) -> None:
    """Its truth is the curated region, its tags are those of the files."""
    items = [i for i in list_labelled(corpus) if "Freeze" in i.path.name]
    items += list_labelled(corpus)[::4]
    data = read_labelled(items, Preprocessing(size=32))
    assert data.is_dicom.all()
    told = data.snapshot.values("BodyPartExamined")
    assert (told == "").any()
    assert not {"phantom", "unknown"} & set(data.region.tolist())
