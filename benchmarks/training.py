"""Steps of our training against plain PyTorch: same network, same images, same losses.

Plain is what one writes first: layers in the paper's order, tiles made to floats one by
one in a DataLoader, Adam, everything at its default. Ours is the loop of `veritag train`
with the paper's recipe. Both train the autoencoder on the same batches of 50 and must
tell the same losses. Every measurement is a process of its own, and they take turns,
since other load comes and goes.

`alone` is the time of the same convolutions, forth and back, and nothing else, as a
share of our step: what is left is all that one could still save without other kernels.
With CUDA there, our loop runs on it too, in float32, in bfloat16 and compiled.

    python -m benchmarks.training [--sizes 64 256] [--threads 1 2] [--steps 8]
                                  [--repeat 3] [--json]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.running import parser, show
from model_training.compare.methods.recipes import PAPER
from model_training.process.torch_runtime import ALLOCATOR
from model_training.training.loop_state import LoopState, begin_run
from model_training.training.stepping import stepper
from model_training.training.training_data import TrainingSet

BATCH = 50
FULL = {"tiles": 30_000, "size": 256, "epochs": 100}
"""The paper's setting."""
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "ours": {},
    "bf16": {"precision": "bf16"},
    "bf16+compile": {"precision": "bf16", "compile": True},
}


def main() -> None:
    """Measure every way in turn, and say how they compare."""
    args = arguments()
    if args.way:
        print(json.dumps(measure(args.way, args.sizes[0], args.threads[0], args)))
        return
    result: dict[str, Any] = {"torch": torch.__version__}
    for size in args.sizes:
        for threads in args.threads:
            told = in_turn(("plain", "ours"), size, threads, "cpu", args)
            result[f"{size}x{size}, {threads} threads"] = compared(told, size)
    if torch.cuda.is_available():
        ways = ("plain", "ours", "bf16", "bf16+compile")
        for size in args.sizes:
            told = in_turn(ways, size, 0, "cuda", args)
            name = f"{size}x{size}, {torch.cuda.get_device_name()}"
            result[name] = compared(told, size)
    show(result, as_json=args.json)


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    made = parser(__doc__)
    made.add_argument("--sizes", type=int, nargs="+", default=[64, 256])
    made.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    made.add_argument("--steps", type=int, default=8, help="after one to warm up")
    made.add_argument("--repeat", type=int, default=3, help="processes of each way")
    made.add_argument("--way", choices=WAYS, help="measure this one, in here")
    made.add_argument("--device", default="cpu", help="of --way")
    return made.parse_args()


def in_turn(
    ways: tuple[str, ...],
    size: int,
    threads: int,
    device: str,
    args: argparse.Namespace,
) -> dict[str, list[dict[str, Any]]]:
    """Return what each way's processes told, one after the other and again."""
    told: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(args.repeat):
        for way in ways:
            command = [
                sys.executable, "-m", "benchmarks.training", "--way", way,
                "--sizes", str(size), "--threads", str(threads),
                "--steps", str(args.steps), "--device", device,
            ]  # fmt: skip
            ours = {} if way == "plain" else ALLOCATOR
            output = subprocess.run(
                command, env={**os.environ, **ours}, check=True, stdout=subprocess.PIPE
            ).stdout
            told[way].append(json.loads(output.splitlines()[-1]))
    return told


def compared(told: Mapping[str, list[dict[str, Any]]], size: int) -> dict[str, Any]:
    """Return rates, their quotient and what the paper's setting would take."""
    plain = [median_of(run) for run in told["plain"]]
    result: dict[str, Any] = {"plain img/s": rates(plain)}
    for way, runs in told.items():
        if way == "plain":
            continue
        steps = [median_of(run) for run in runs]
        pairs = sorted(p / s for p, s in zip(plain, steps, strict=True))
        result[f"{way} img/s"] = rates(steps)
        result[f"{way} / plain"] = f"{pairs[0]:.2f} to {pairs[-1]:.2f}"
        alone = sorted(r["alone"] / s for r, s in zip(runs, steps, strict=True))
        result[f"{way}: convolutions alone"] = f"{alone[0]:.0%} to {alone[-1]:.0%}"
        result[f"{way}: losses differ by"] = difference(told["plain"][0], runs[0])
        if size == FULL["size"]:
            hours = min(steps) * FULL["tiles"] / BATCH * FULL["epochs"] / 3600
            result[f"{way}: the paper's 100 epochs"] = f"{hours:.2f} h"
    return result


def median_of(run: Mapping[str, Any]) -> float:
    """Return the middle one of a process's steps, in seconds."""
    return float(statistics.median(run["seconds"]))


def rates(steps: list[float]) -> str:
    """Return the slowest and the fastest process in images per second."""
    return f"{BATCH / max(steps):.1f} to {BATCH / min(steps):.1f}"


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Return the largest relative difference of the losses of two ways."""
    losses = np.array(one["losses"]), np.array(other["losses"])
    return float(np.abs(losses[0] / losses[1] - 1).max())


def measure(
    way: str, size: int, threads: int, args: argparse.Namespace
) -> dict[str, Any]:
    """Return seconds and losses of one way's steps, and the convolutions' seconds."""
    if threads:
        torch.set_num_threads(threads)
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (BATCH * 2, size // 8, size // 8), dtype=np.uint8)
    tiles = np.kron(coarse, np.ones((1, 8, 8), dtype=np.uint8))
    config = replace(PAPER, size=size, clusters=2, **WAYS[way])
    training = TrainingSet(tiles, {}, np.ones(len(tiles)))
    run = begin_run(training, training, config, args.device, None, None)
    step = plain_steps(run) if way == "plain" else our_steps(run)
    seconds, losses = [], []
    clock = time.process_time if threads == 1 else time.perf_counter
    for _ in range(args.steps + (3 if args.device == "cuda" else 1)):
        start = clock()
        losses.append(step())
        wait(args.device)
        seconds.append(clock() - start)
    alone = convolutions_alone(run, clock) if way != "plain" else 0.0
    return {"seconds": seconds[-args.steps :], "losses": losses, "alone": alone}


def our_steps(run: LoopState) -> Callable[[], float]:
    """Return one step of our loop, which tells its loss."""
    network = run.trained.network.train()
    stepping = stepper(network, 1e-3, 10**9, run.ranks)
    at = [0]

    def step() -> float:
        rows = np.arange(at[0], at[0] + BATCH) % len(run.training)
        at[0] += BATCH
        terms, _ = run.objective.of_images(rows)
        stepping.begin_pass()
        stepping.step(terms, 1.0)
        return stepping.totals()["reconstruction"]

    return step


class Tiles(Dataset[Tensor]):
    """Tiles as floats, one by one."""

    def __init__(self, tiles: np.ndarray) -> None:
        self.tiles = tiles

    def __len__(self) -> int:
        return len(self.tiles)

    def __getitem__(self, row: int) -> Tensor:
        return torch.from_numpy(self.tiles[row]).float().unsqueeze(0) / 255


def plain_steps(run: LoopState) -> Callable[[], float]:
    """Return one step as one would write it, from the same weights."""
    size, device = run.config.size, run.device
    network = plain_network(size)
    ours = list(run.trained.network.encoder.parameters())
    assert run.trained.network.decoder is not None
    ours += list(run.trained.network.decoder.parameters())
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), ours, strict=True):
            parameter.copy_(value)
    network = network.to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loader = DataLoader(Tiles(run.training.tiles), batch_size=BATCH)
    batches: Iterator[Tensor] = iter(())

    def step() -> float:
        nonlocal batches
        tiles = next(batches, None)
        if tiles is None:
            batches = iter(loader)
            tiles = next(batches)
        tiles = tiles.to(device)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(network(tiles), tiles)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.item()

    return step


def plain_network(size: int) -> nn.Sequential:
    """Return the paper's autoencoder, layer after layer."""
    layers: list[nn.Module] = []
    for before, after in ((1, 32), (32, 32), (32, 64), (64, 64), (64, 64)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    side = size // 32
    layers += [nn.Flatten(), nn.Linear(64 * side**2, 100)]
    layers += [
        nn.Linear(100, 64 * side**2),
        nn.ReLU(),
        nn.Unflatten(1, (64, side, side)),
    ]
    for before, after in ((64, 64), (64, 64), (64, 32), (32, 32), (32, 1)):
        layers += [
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Conv2d(before, after, 3, padding=1),
            nn.ReLU() if after > 1 else nn.Sigmoid(),
        ]
    return nn.Sequential(*layers)


def convolutions_alone(run: LoopState, clock: Callable[[], float]) -> float:
    """Return seconds of a step's convolutions forth and back, without anything else."""
    device, dtype = run.device, torch.float32
    if run.config.precision == "bf16":
        dtype = torch.bfloat16
    layout = torch.channels_last
    total, side = 0.0, run.config.size
    # The encoder's, outermost first; the decoder's are their mirror.
    for before, after in ((1, 32), (32, 32), (32, 64), (64, 64), (64, 64)):
        for inside, outside in ((before, after), (after, before)):
            maps = torch.rand(BATCH, inside, side, side, device=device, dtype=dtype)
            maps = maps.contiguous(memory_format=layout).requires_grad_(inside > 1)
            layer = nn.Conv2d(inside, outside, 3, padding=1).to(device, dtype)
            total += both_ways(layer.to(memory_format=layout), maps, device, clock)  # type: ignore[call-overload]
        side //= 2
    return total


def both_ways(
    layer: nn.Module, maps: Tensor, device: str, clock: Callable[[], float]
) -> float:
    """Return the middle one of three times forth and back, in seconds."""
    seconds = []
    back = torch.ones_like(layer(maps))
    for _ in range(4):
        wait(device)
        start = clock()
        layer(maps).backward(back)
        wait(device)
        seconds.append(clock() - start)
    return statistics.median(seconds[1:])


def wait(device: str) -> None:
    """Wait until a GPU has done what was asked of it."""
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
