"""Synthetic instances of labelled pictures, and their split."""

from pathlib import Path

import numpy as np
import pytest

from model_training.compare.images.labelled_images import (
    LabelledImages,
    list_labelled,
    read_labelled,
    thin,
)
from model_training.compare.images.patient_split import split_by_patient
from model_training.compare.images.synthetic_instances import (
    LabelledPicture,
    drawn_tags,
    synthetic_instance,
    tile_and_sample,
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
    picture = LabelledPicture(f"images/{number}.png", modality, region, view)
    return dict(read_tags(synthetic_instance(picture, GRAY)))


@pytest.mark.parametrize("modality", sorted(SHARES))
def test_body_parts_are_missing_as_often_as_the_recipe_says(modality: str) -> None:
    """A third of the radiographs and four fifths of CT and MR have a body part."""
    carried = ["BodyPartExamined" in _tags(modality, "chest", n) for n in range(600)]
    assert np.mean(carried) == pytest.approx(SHARES[modality], abs=0.06)


def test_each_tag_stands_only_where_such_a_modality_has_it() -> None:
    """Exposure needs X-rays, planes and positions tomography, acquisition types MR."""
    for modality in (*SHARES, "RF", "XA", "NM"):
        keywords = {k for n in range(60) for k in _tags(modality, "head", n, "axial")}
        assert ("Exposure" in keywords) == (modality in X_RAY)
        assert ("ExposureTime" in keywords) == (modality in X_RAY)
        assert ("PatientPosition" in keywords) == (modality in {"CT", "MR", "NM"})
        assert ("MRAcquisitionType" in keywords) == (modality == "MR")
        assert {"Modality", "Manufacturer"} <= keywords
        assert keywords <= set(JUDGED_TAGS)


def test_the_view_of_a_picture_becomes_its_plane() -> None:
    """A sagittal slice never gets the cosines of another plane."""
    pre = Preprocessing(size=32)
    for n in range(40):
        picture = LabelledPicture(f"{n}.png", "MR", "head", "sagittal")
        _, sample = tile_and_sample(picture, GRAY, pre)
        assert sample.tags.get("ImageOrientationPatient", "SAGITTAL") == "SAGITTAL"


def test_a_wrapped_picture_is_seen_as_the_picture_itself() -> None:
    """Tile and tags are read as those of a received instance are."""
    pre = Preprocessing(size=32)
    tile, sample = tile_and_sample(
        LabelledPicture("a.png", "CT", "chest", source="s"), GRAY, pre
    )
    np.testing.assert_array_equal(tile, tile_from_gray(GRAY, pre))
    assert sample.tags["Modality"] == "CT"
    assert not sample.is_dicom
    assert all(len(v) in {1, 6} for v in sample.numbers.values())


def test_the_draws_depend_on_the_name_alone() -> None:
    """One picture gets the same tags every time, another one gets others."""
    one, other = (
        LabelledPicture("a.png", "CT", "head"),
        LabelledPicture("b.png", "CT", "head"),
    )
    assert dict(drawn_tags(one)) == dict(drawn_tags(one))
    assert dict(drawn_tags(one)) != dict(drawn_tags(other))
    assert dict(drawn_tags(one)) != dict(drawn_tags(one, seed=1))


def test_no_rule_objects_to_a_wrapped_picture() -> None:
    """SOP Class and modality agree, and every value is a defined term."""
    for modality in ("CT", "MR", "CR", "PX", "MG", "US", "NM", "XA", "RF"):
        ds = synthetic_instance(
            LabelledPicture("a.png", modality, "lower-leg", "axial"), GRAY
        )
        assert modality in MODALITIES_OF[ds.SOPClassUID]
        assert all(is_defined(k, v) for k, v in read_tags(ds).items())


def _read(folder: Path, limit: int = 0) -> LabelledImages:
    data = read_labelled(list_labelled(folder), Preprocessing(size=32))
    return thin(data, limit)


def test_the_truth_is_kept_apart_from_the_tags(labelled_folder: Path) -> None:
    """Most radiographs have no body part, while their region is known."""
    data = _read(labelled_folder)
    chests = data.part(data.region == "chest")
    body_parts = chests.snapshot.values("BodyPartExamined")
    assert (chests.modality == "CR").all()
    assert 0 < (body_parts == "CHEST").sum() < len(chests) * 0.7
    assert set(body_parts.tolist()) == {"", "CHEST"}


def test_thinning_caps_a_cell_and_keeps_small_ones(labelled_folder: Path) -> None:
    """Of every modality, region and source at most the limit is left."""
    data = _read(labelled_folder)
    kept = thin(data, 5)
    cells = _cells(kept)
    assert max(cells.count(cell) for cell in cells) == 5
    assert set(cells) == set(_cells(data))
    assert len(thin(data, 1000)) == len(data)


def _cells(data: LabelledImages) -> list[tuple[str, str, str]]:
    kinds = (data.modality.tolist(), data.region.tolist(), data.source.tolist())
    return list(zip(*kinds, strict=True))


def test_the_unseen_are_never_thinned(labelled_folder: Path) -> None:
    """A limit leaves fewer images to train on and the same ones to report."""
    data = _read(labelled_folder)
    whole, thinned = split_by_patient(data), split_by_patient(data, limit=8)
    assert len(thinned.training) < len(whole.training)
    assert thinned.unseen.snapshot.digest() == whole.unseen.snapshot.digest()


def test_no_patient_is_on_both_sides(labelled_folder: Path) -> None:
    """Unseen patients do not train, and more images move no patient to another part."""
    data = _read(labelled_folder)
    parts = split_by_patient(data)
    assert not set(parts.training.patients) & set(parts.unseen.patients)
    assert 0.15 < len(parts.unseen) / len(data) < 0.45
    half = split_by_patient(data.part(np.arange(len(data)) % 3 > 0))
    assert set(half.unseen.patients) <= set(parts.unseen.patients)


def test_the_dicom_part_is_told_by_itself(labelled_folder: Path) -> None:
    """Synthetic instances alone have one reported part; no DICOM file is among them."""
    assert list(split_by_patient(_read(labelled_folder)).reported_masks()) == ["all"]


def test_one_kind_alone_is_refused(labelled_folder: Path) -> None:
    """Images of one kind alone cannot be clustered by kind."""
    data = _read(labelled_folder)
    with pytest.raises(StopError, match="one modality and region"):
        split_by_patient(data.part(data.region == "chest"))


def test_too_few_images_are_refused(labelled_folder: Path) -> None:
    """The message has their number and the least number."""
    with pytest.raises(StopError, match="at least 20"):
        split_by_patient(_read(labelled_folder, limit=4))


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
    """A broken file is left out and counted; if all are broken, the command stops."""
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
    """The truth is the curated region, the tags are those of the files."""
    items = [i for i in list_labelled(corpus) if "Freeze" in i.path.name]
    items += list_labelled(corpus)[::4]
    data = read_labelled(items, Preprocessing(size=32))
    assert data.is_dicom.all()
    body_parts = data.snapshot.values("BodyPartExamined")
    assert (body_parts == "").any()
    assert not {"phantom", "unknown"} & set(data.region.tolist())
