"""Several processes that train one network, with gloo on the CPU.

Importing PyTorch, its compiler and scikit-learn takes several seconds in each process,
the training a fraction of one: a fork server imports them once, and its children are the
ranks.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.multiprocessing.spawn import ProcessExitedException, start_processes

from model_training.training.checkpoint import Checkpoint
from model_training.training.distributed import join_ranks
from model_training.training.loop import Trained, train
from tests.ports import free_port
from tests.unit.model_training.small_training import (
    config,
    constrained_tiles,
    phantom_tiles,
)
from veritag.bundles.bundle import load_bundle
from veritag.cli import main

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {"batch": 16, "epochs": 4, "cluster_epochs": 2, "tol": 0.0}
PRELOADED = ["torch._dynamo", "sklearn.cluster", "model_training.runs.train_bundle"]
KEPT_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "1"}
"""With it the command does not start itself anew."""


def start_ranks(function: Callable[..., None], folder: Path) -> None:
    """Call a function with rank, port and folder in two processes, and wait for both."""
    multiprocessing.set_forkserver_preload(PRELOADED)
    start_processes(
        function, (free_port(), folder), nprocs=2, start_method="forkserver"
    )


def become_rank(rank: int, port: int) -> None:
    """Set what `torchrun` sets in a process."""
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), **KEPT_MEMORY,
    )  # fmt: skip
    torch.set_num_threads(1)


def exchange_and_train(rank: int, port: int, folder: Path) -> None:
    """Save what a process received, and the parameters that it ends with."""
    become_rank(rank, port)
    torch.save({**send_images(), **train_idec(folder)}, folder / f"{rank}.pt")


def run_command(rank: int, port: int, folder: Path) -> None:
    """Run `veritag train` on an empty folder; stderr goes to a file."""
    become_rank(rank, port)
    with (folder / f"{rank}.log").open("wb") as log:
        os.dup2(log.fileno(), sys.stderr.fileno())
    sys.argv = [
        "veritag", "train", str(folder / "empty"), "--out", str(folder / "b"),
        "--device", "cpu",
    ]  # fmt: skip
    main()


def trained_with(recipe: str, checkpoint: Checkpoint | None = None) -> Trained:
    """Train the pictures with a recipe."""
    return train(
        constrained_tiles(),
        phantom_tiles(),
        config(recipe, **SETTINGS),
        checkpoint=checkpoint,
    )


def train_idec(folder: Path) -> dict[str, Any]:
    """Return a network's parameters; a checkpoint is written by the first process."""
    trained = trained_with("idec", Checkpoint(folder / "run.pt", "a"))
    return dict(trained.network.state_dict())


def send_images() -> dict[str, Any]:
    """Return what each process got from the first one, and from all."""
    ranks = join_ranks("cpu")
    received = ranks.images_from_main(constrained_tiles() if ranks.is_main else None)
    parts = ranks.gather(np.full((1 + ranks.rank, 2), float(ranks.rank)))
    assert received.constraints is not None
    return {
        "tiles": float(received.tiles.sum()),
        "last": str(received.values["Modality"][-1]),
        "pairs": int(received.constraints.must_link.sum()),
        "parts": parts[:, 0].tolist(),
    }


def test_two_processes_train_one_network(tmp_path: Path) -> None:
    """Both get the first one's images and end with equal parameters.

    They are close to those of one process with the same batches.
    """
    start_ranks(exchange_and_train, tmp_path)
    one, other = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    constraints = constrained_tiles().constraints
    assert constraints is not None
    for saved in (one, other):
        assert saved["tiles"] == float(phantom_tiles().tiles.sum())
        assert saved["last"] == "US"
        assert saved["pairs"] == constraints.must_link.sum()
        assert saved["parts"] == [0.0, 1.0, 1.0]
    for name, value in trained_with("idec").network.state_dict().items():
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=0)
        torch.testing.assert_close(one[name], value, rtol=1e-2, atol=1e-3)
    assert (tmp_path / "run.pt").is_file()


def test_an_error_of_the_first_process_ends_all(tmp_path: Path) -> None:
    """Images that cannot be learnt from are one error; no process waits for more."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProcessExitedException):
        start_ranks(run_command, tmp_path)
    messages = "".join(log.read_text() for log in tmp_path.glob("*.log"))
    assert messages.count("no image to learn from") == 1
    assert not (tmp_path / "b").exists()


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
