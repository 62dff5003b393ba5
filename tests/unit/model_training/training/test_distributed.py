"""Several processes that train one network, with gloo on the CPU."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.multiprocessing.spawn import spawn

from model_training.training.checkpoint import Checkpoint
from model_training.training.distributed import Ranks, join_ranks
from model_training.training.loop import Trained, train
from tests.ports import free_port
from tests.unit.model_training.tiny import config, constrained, pictures
from veritag.bundles.bundle import load_bundle

SETTINGS: dict[str, Any] = {"batch": 16, "epochs": 4, "cluster_epochs": 2, "tol": 0.0}


def as_rank(rank: int, port: int, folder: Path) -> None:
    """Be one of two processes, and save what comes of it."""
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
    )  # fmt: skip
    torch.set_num_threads(1)
    torch.save({**send_images(), **train_idec(folder)}, folder / f"{rank}.pt")


def trained_with(recipe: str, checkpoint: Checkpoint | None = None) -> Trained:
    """Train the pictures with a recipe."""
    return train(
        constrained(), pictures(), config(recipe, **SETTINGS), checkpoint=checkpoint
    )


def train_idec(folder: Path) -> dict[str, Any]:
    """Return a network's parameters; a checkpoint is written by the first process."""
    trained = trained_with("idec", Checkpoint(folder / "run.pt", "a"))
    return dict(trained.network.state_dict())


def send_images() -> dict[str, Any]:
    """Return what each process got from the first one, and from all."""
    ranks = join_ranks("cpu")
    got = ranks.firsts_images(constrained() if ranks.is_main else None)
    parts = ranks.gather(np.full((1 + ranks.rank, 2), float(ranks.rank)))
    assert got.constraints is not None
    return {
        "tiles": float(got.tiles.sum()),
        "last": str(got.values["Modality"][-1]),
        "pairs": int(got.constraints.must_link.sum()),
        "parts": parts[:, 0].tolist(),
    }


def test_two_processes_train_one_network(tmp_path: Path) -> None:
    """Both get the first one's images and end with equal parameters.

    They are close to those of one process with the same batches.
    """
    spawn(as_rank, (free_port(), tmp_path), nprocs=2)
    one, other = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    constraints = constrained().constraints
    assert constraints is not None
    for told in (one, other):
        assert told["tiles"] == float(pictures().tiles.sum())
        assert told["last"] == "US"
        assert told["pairs"] == constraints.must_link.sum()
        assert told["parts"] == [0.0, 1.0, 1.0]
    for name, value in trained_with("idec").network.state_dict().items():
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=0)
        torch.testing.assert_close(one[name], value, rtol=1e-2, atol=1e-3)
    assert (tmp_path / "run.pt").is_file()


def test_a_process_alone_waits_for_nobody() -> None:
    """Without torchrun every exchange is what it was given."""
    ranks = join_ranks("cpu")
    rows = np.arange(5)
    assert ranks == Ranks(0, 1)
    assert ranks.share(rows).tolist() == ranks.part(rows).tolist() == rows.tolist()
    assert ranks.firsts("x") == "x"
    ranks.close()


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_every_row_is_some_process_s(size: int) -> None:
    """Parts of all rows and of batches cover each row; none is empty."""
    rows = np.arange(5)
    everyone = [Ranks(rank, size) for rank in range(size)]
    parts = [ranks.part(rows) for ranks in everyone]
    assert np.concatenate(parts).tolist() == rows.tolist()
    shares = [ranks.share(rows) for ranks in everyone]
    assert all(len(share) for share in shares)
    assert set(np.concatenate(shares).tolist()) == set(rows.tolist())


def test_torchrun_leaves_one_bundle(phantom_folder: Path, tmp_path: Path) -> None:
    """`torchrun -m veritag.cli train` trains with both and writes once."""
    out = tmp_path / "bundles" / "one"
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
            "--master-port", str(free_port()), "-m", "veritag.cli", "train",
            str(phantom_folder), "--out", str(out), "--device", "cpu", "--size", "32",
            "--epochs", "1", "--clusters", "4",
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"},
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out)
    assert load_bundle(out).manifest.lineage["snapshot"]["images"] == 96
    assert [p.name for p in out.parent.iterdir()] == ["one"]


def test_an_error_of_the_first_process_ends_all(tmp_path: Path) -> None:
    """Nothing to learn from is said once, and no process waits for images."""
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
            "--master-port", str(free_port()), "-m", "veritag.cli", "train",
            str(tmp_path / "empty"), "--out", str(tmp_path / "b"), "--device", "cpu",
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"},
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr.count("no image to learn from") == 1
    assert not (tmp_path / "b").exists()
