"""The pipeline from files to verdicts."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from veritag.bundles.bundle import ModelBundle
from veritag.errors import ArchiveUnavailable
from veritag.findings import VerdictStatus
from veritag.phantoms.series import phantom_series
from veritag.pixels.decoding_process import DecodingLimits
from worker.inference import Model
from worker.pipeline import Pipeline
from worker.preparation import prepare_dataset


@pytest.fixture(scope="module")
def model(bundle: ModelBundle) -> Model:
    """The bundle's model, loaded."""
    return Model(bundle)


@pytest.fixture
def pipeline() -> Iterator[Pipeline]:
    """A pipeline with two decoding threads."""
    with closing(Pipeline(2, 1024, DecodingLimits(60, 2048))) as made:
        yield made


def write(folder: Path, datasets: list[Dataset]) -> list[tuple[int, Path]]:
    files = []
    for n, ds in enumerate(datasets):
        path = folder / f"{n:02d}.dcm"
        ds.save_as(path, enforce_file_format=True)
        files.append((n, path))
    return files


def test_outcomes_come_in_the_order_of_the_files(
    model: Model, pipeline: Pipeline, tmp_path: Path
) -> None:
    """Each file has its verdict, whatever was decoded first."""
    kinds = ("CT-CHEST", "CT-HEAD", "MR-KNEE", "CR-HAND")
    series = [
        ds for k in kinds for ds in phantom_series(k, patient=3, instances=3, seed=7)
    ]
    outcomes = list(pipeline.run(model, write(tmp_path, series)))
    assert [o.key for o in outcomes] == list(range(12))
    clusters = [o.verdict.cluster for o in outcomes if o.verdict]
    assert clusters == [100] * 3 + [101] * 3 + [102] * 3 + [103] * 3


def test_one_bad_file_costs_one_verdict(
    model: Model, pipeline: Pipeline, tmp_path: Path
) -> None:
    """Unreadable, pixel-less and missing files do not affect the good ones."""
    good = phantom_series("CT-HEAD", patient=3, instances=4, seed=7)
    del good[1].PixelData
    files = write(tmp_path, good)
    files[2][1].write_bytes(b"<html>not found</html>")
    files.insert(3, (99, tmp_path / "missing.dcm"))
    outcomes = list(pipeline.run(model, files))
    statuses = [o.verdict.status if o.verdict else None for o in outcomes]
    assert statuses == [
        VerdictStatus.INSPECTED,
        VerdictStatus.NO_PIXELS,
        VerdictStatus.UNREADABLE,
        None,
        VerdictStatus.INSPECTED,
    ]
    assert isinstance(outcomes[3].error, ArchiveUnavailable)
    without_pixels = outcomes[1].verdict
    assert without_pixels is not None
    assert without_pixels.tags["Modality"] == "CT"
    assert without_pixels.cluster is None
    assert without_pixels.reason == "the object holds no Pixel Data"


def test_a_verdict_tells_what_the_model_saw(
    model: Model, pipeline: Pipeline, tmp_path: Path
) -> None:
    """Cluster, probability, novelty and q of a verdict agree."""
    files = write(tmp_path, phantom_series("CT-HEAD", patient=3, instances=1, seed=7))
    verdict = next(pipeline.run(model, files)).verdict
    assert verdict is not None
    assert verdict.cluster == 101
    assert verdict.cluster_probability == pytest.approx(1, abs=0.1)
    assert verdict.novelty is not None
    assert 0 < verdict.novelty < 1
    assert int(np.argmax(verdict.soft_assignment)) == 1
    assert sum(verdict.soft_assignment) == pytest.approx(1, rel=1e-5)
    assert verdict.bundle_id == model.bundle.bundle_id
    assert verdict.tags["BodyPartExamined"] == "HEAD"


def test_a_picture_of_another_kind_is_novel(
    model: Model, pipeline: Pipeline, tmp_path: Path
) -> None:
    """Beyond the limit of its nearest cluster, novelty is above 1."""
    files = write(tmp_path, phantom_series("MG-BREAST", patient=1, instances=1, seed=7))
    verdict = next(pipeline.run(model, files)).verdict
    assert verdict is not None
    assert verdict.novelty is not None
    assert verdict.novelty > 1


def test_an_abandoned_run_leaves_nothing_behind(
    model: Model, pipeline: Pipeline, tmp_path: Path
) -> None:
    """After an abandoned run the pipeline can be used again."""
    files = write(tmp_path, phantom_series("CT-HEAD", patient=3, instances=9, seed=7))
    run = pipeline.run(model, files)
    next(run)
    run.close()
    assert len(list(pipeline.run(model, files))) == 9


def test_preparing_takes_everything_from_the_data_set(bundle: ModelBundle) -> None:
    """Tile, tags, UIDs and identity are read from a Data Set without a file."""
    ds = phantom_series("CT-HEAD", patient=3, instances=1, seed=7)[0]
    pre = bundle.manifest.preprocessing
    prepared = prepare_dataset(ds, pre, max_frame_mb=16)
    assert prepared.tile is not None
    assert prepared.tile.shape == (64, 64)
    assert prepared.sop_instance_uid == ds.SOPInstanceUID
    assert prepared.series_instance_uid == ds.SeriesInstanceUID
    assert prepared.study_instance_uid == ds.StudyInstanceUID
    assert prepared.identity is not None
    assert prepared.identity.patient_id == ds.PatientID
