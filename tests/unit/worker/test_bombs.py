"""Files that expand to far more than their size: only they fail, others are inspected."""

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests import bombs
from veritag.bundles.bundle import ModelBundle
from veritag.errors import DecodingEnded
from veritag.findings import VerdictStatus
from veritag.phantoms.series import phantom_series
from veritag.pixels.decoding_process import DecodingLimits
from worker import pipeline as pipeline_module
from worker.inference import Model
from worker.pipeline import Inspected, Pipeline

LARGE = 60_000


@pytest.fixture(scope="module")
def model(bundle: ModelBundle) -> Model:
    """The bundle's model, loaded."""
    return Model(bundle)


@pytest.fixture(scope="module")
def pipeline() -> Iterator[Pipeline]:
    """A pipeline with low limits."""
    with closing(Pipeline(1, 64, DecodingLimits(60.0, 256))) as made:
        yield made


def _good(folder: Path) -> Path:
    ds = phantom_series("CT-HEAD", patient=3, instances=1, seed=7)[0]
    ds.save_as(folder / "good", enforce_file_format=True)
    return folder / "good"


def _outcome(
    model: Model, pipeline: Pipeline, bomb: Path, folder: Path
) -> Inspected[str]:
    """Inspect a bomb before a good image, which must get its verdict."""
    files = [("bomb", bomb), ("good", _good(folder))]
    first, second = pipeline.run(model, files)
    assert second.verdict is not None
    assert second.verdict.status is VerdictStatus.INSPECTED
    return first


def _reason(outcome: Inspected[str]) -> str:
    assert outcome.verdict is not None, outcome.error
    assert outcome.verdict.status is VerdictStatus.UNREADABLE
    return outcome.verdict.reason or ""


def test_a_deflated_bomb(model: Model, pipeline: Pipeline, tmp_path: Path) -> None:
    """400 MB from 400 kB exceed the memory that one file may take."""
    bomb = bombs.deflated(tmp_path / "x", 400)
    assert bomb.stat().st_size < 1 << 20
    reason = _reason(_outcome(model, pipeline, bomb, tmp_path))
    assert reason == "not enough memory to read the file"


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [
        (JPEG2000Lossless, bombs.jpeg_2000(LARGE, LARGE, 1024)),
        (JPEGLosslessSV1, bombs.jpeg(LARGE, LARGE)),
        (JPEGLSLossless, bombs.jpeg(LARGE, LARGE, 0xF7)),
    ],
)
def test_a_codestream_that_claims_a_vast_image(
    model: Model, pipeline: Pipeline, tmp_path: Path, syntax: str, frame: bytes
) -> None:
    """The size in the codestream counts, not that in the Data Set."""
    ds = bombs.image(syntax, rows=512, columns=512)
    bomb = bombs.compressed(tmp_path / "x", ds, frame)
    reason = _reason(_outcome(model, pipeline, bomb, tmp_path))
    assert reason == "a frame of 6866 MB is over the limit of 64 MB"


def test_a_data_set_that_declares_a_vast_image(
    model: Model, pipeline: Pipeline, tmp_path: Path
) -> None:
    """Rows and Columns alone are enough for a refusal."""
    ds = bombs.image(RLELossless, rows=LARGE, columns=LARGE)
    bomb = bombs.compressed(tmp_path / "x", ds, bombs.run_length(64, 128))
    assert "over the limit of 64 MB" in _reason(
        _outcome(model, pipeline, bomb, tmp_path)
    )


def test_sequences_without_end(
    model: Model, pipeline: Pipeline, tmp_path: Path
) -> None:
    """A hundred thousand nested sequences are refused at once."""
    bomb = bombs.nested(tmp_path / "x", 100_000)
    reason = _reason(_outcome(model, pipeline, bomb, tmp_path))
    assert reason == "its sequences are nested too deeply"


def test_fragments_without_end(
    model: Model, pipeline: Pipeline, tmp_path: Path
) -> None:
    """A hundred thousand empty fragments are refused as damaged pixels."""
    bomb = bombs.many_fragments(tmp_path / "x", JPEG2000Lossless, 100_000)
    assert "the pixels are damaged" in _reason(
        _outcome(model, pipeline, bomb, tmp_path)
    )


@pytest.mark.slow
def test_elements_without_end_cost_their_time_alone(
    model: Model, tmp_path: Path
) -> None:
    """Millions of empty elements are given up after the time limit."""
    bomb = bombs.many_elements(tmp_path / "x", 16)
    with closing(Pipeline(1, 64, DecodingLimits(2.0, 2048))) as pipeline:
        outcome = _outcome(model, pipeline, bomb, tmp_path)
    assert isinstance(outcome.error, DecodingEnded)
    assert outcome.error.limit == "time"
    assert (
        str(outcome.error) == "decoding took longer than 2 s (VERITAG_DECODE_SECONDS)"
    )


def test_a_decoder_that_crashes(
    model: Model, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segmentation fault ends its process only."""
    code = "import signal\ndef prepare(*_, **__): signal.raise_signal(signal.SIGSEGV)\n"
    (tmp_path / "crashing.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.syspath_prepend(tmp_path)
    import crashing  # type: ignore[import-not-found]

    ds = bombs.image(RLELossless, rows=64, columns=128)
    bomb = bombs.compressed(tmp_path / "x", ds, bombs.run_length(64, 128))
    with (
        closing(Pipeline(1, 64, DecodingLimits(60.0, 256))) as fresh,
        monkeypatch.context() as m,
    ):
        m.setattr(pipeline_module, "prepare", crashing.prepare)
        [outcome] = fresh.run(model, [("bomb", bomb)])
    assert isinstance(outcome.error, DecodingEnded)
    assert str(outcome.error) == "the decoder crashed (SIGSEGV)"
    again = _outcome(model, pipeline, bomb, tmp_path)
    assert again.verdict is not None
    assert again.verdict.status is VerdictStatus.INSPECTED
