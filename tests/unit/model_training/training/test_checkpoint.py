"""Interrupted runs, and checkpoint files that are torn or of other runs."""

from pathlib import Path

import pytest
import torch

from model_training.training.checkpoint import Checkpoint
from model_training.training.loop import EpochFigures, Trained, train
from tests.unit.model_training.small_training import (
    config,
    constrained_tiles,
    phantom_tiles,
)
from veritag.errors import StopError


class Interrupted(Exception):
    """The run was interrupted."""


def run(checkpoint: Checkpoint | None, stop_after: int = 99) -> Trained:
    """Train with two passes of each part, interrupted after `stop_after` passes."""
    passes: list[EpochFigures] = []

    def count(figures: EpochFigures) -> None:
        passes.append(figures)
        if len(passes) == stop_after:
            raise Interrupted

    settings = config("constrained", batch_norm=True, tags=1.0, tol=0.0, epochs=2)
    return train(
        constrained_tiles(),
        phantom_tiles(),
        settings,
        checkpoint=checkpoint,
        on_epoch=count,
    )


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4])
def test_an_interrupted_run_ends_like_one_that_was_not(
    stop_after: int, tmp_path: Path
) -> None:
    """Resumed after any pass of either part, the network is equal bit by bit."""
    checkpoint = Checkpoint(tmp_path / "run.pt", "a")
    with pytest.raises(Interrupted):
        run(checkpoint, stop_after)
    resumed, whole = run(checkpoint), run(None)
    assert [str(e) for e in resumed.history] == [str(e) for e in whole.history]
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(
            resumed.network.state_dict()[name], value, rtol=0, atol=0, msg=name
        )


def test_another_run_s_file_is_not_taken_up(tmp_path: Path) -> None:
    """A file with the key of other images or settings is not loaded."""
    Checkpoint(tmp_path / "run.pt", "a").save({"epoch": 1})
    assert Checkpoint(tmp_path / "run.pt", "b").load() is None
    assert Checkpoint(tmp_path / "run.pt", "a").load() == {"epoch": 1, "key": "a"}


def test_a_torn_file_is_as_good_as_none(tmp_path: Path) -> None:
    """An empty, truncated or garbage file is ignored; training starts from the beginning."""
    checkpoint = Checkpoint(tmp_path / "run.pt", "a")
    checkpoint.save({"epoch": 1, "state": torch.zeros(1000)})
    whole = checkpoint.path.read_bytes()
    for bad in (b"", b"PK", whole[:100], whole[: len(whole) // 2], b"\x80\x02garbage"):
        checkpoint.path.write_bytes(bad)
        assert checkpoint.load() is None
    assert Checkpoint(tmp_path / "none.pt", "a").load() is None


def test_no_code_is_run_from_a_file(tmp_path: Path) -> None:
    """A file with other objects than tensors and numbers is not loaded."""
    checkpoint = Checkpoint(tmp_path / "run.pt", "a")
    torch.save({"key": "a", "evil": Interrupted()}, checkpoint.path)
    assert checkpoint.load() is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_told_and_keeps_the_last_file(tmp_path: Path) -> None:
    """A checkpoint that cannot be written stops the run and keeps the previous file."""
    checkpoint = Checkpoint(tmp_path / "run.pt", "a")
    checkpoint.save({"epoch": 1})
    (tmp_path / ".run.pt.part").symlink_to("/dev/full")
    with pytest.raises(StopError, match="no checkpoint could be written"):
        checkpoint.save({"epoch": 2, "state": torch.zeros(1_000_000)})
    assert checkpoint.load() == {"epoch": 1, "key": "a"}
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


def test_a_run_that_is_done_leaves_no_file(tmp_path: Path) -> None:
    """Discarding twice is no error."""
    checkpoint = Checkpoint(tmp_path / "run.pt", "a")
    checkpoint.save({"epoch": 1})
    checkpoint.discard()
    checkpoint.discard()
    assert not list(tmp_path.iterdir())
