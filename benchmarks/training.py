"""Training steps compared with plain PyTorch: same network, images and losses.

`plain` is a simple script: layers in the paper's order, tiles converted to float one by
one in a DataLoader, Adam, all settings at their default. `veritag` is the loop of
`veritag train` with the paper's recipe. Both train the autoencoder on the same batches of
50 and must have the same losses. Each measurement is a process of its own, and the
variants alternate, because other load varies.

`alone` is the time of the same convolutions, forward and backward, as a share of
Veritag's step: the remainder is the most that could be saved with the same kernels. With
CUDA the loop is also measured on the GPU, in float32, in bfloat16 and compiled.

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
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.plain_pytorch import plain_steps
from benchmarks.running import parser, show
from model_training.compare.methods.recipes import PAPER
from model_training.process.torch_runtime import ALLOCATOR
from model_training.training.loop_state import LoopState, begin_run
from model_training.training.stepping import make_stepper
from model_training.training.training_data import TrainingSet

BATCH = 50
FULL = {"tiles": 30_000, "size": 256, "epochs": 100}
"""The paper's setting."""
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "veritag": {},
    "bf16": {"precision": "bf16"},
    "bf16+compile": {"precision": "bf16", "compile": True},
}


def main() -> None:
    """Measure all variants alternately and compare them."""
    args = arguments()
    if args.variant:
        print(json.dumps(measure(args.variant, args.sizes[0], args.threads[0], args)))
        return
    result: dict[str, Any] = {"torch": torch.__version__}
    for size in args.sizes:
        for threads in args.threads:
            runs = measure_all(("plain", "veritag"), size, threads, "cpu", args)
            result[f"{size}x{size}, {threads} threads"] = compared(runs, size)
    if torch.cuda.is_available():
        variants = ("plain", "veritag", "bf16", "bf16+compile")
        for size in args.sizes:
            runs = measure_all(variants, size, 0, "cuda", args)
            name = f"{size}x{size}, {torch.cuda.get_device_name()}"
            result[name] = compared(runs, size)
    show(result, as_json=args.json)


def arguments() -> argparse.Namespace:
    """Return the parsed options."""
    options = parser(__doc__)
    options.add_argument("--sizes", type=int, nargs="+", default=[64, 256])
    options.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options.add_argument("--steps", type=int, default=8, help="steps after the warm-up")
    options.add_argument(
        "--repeat", type=int, default=3, help="processes of each variant"
    )
    options.add_argument(
        "--variant", choices=VARIANTS, help="measure it in this process"
    )
    options.add_argument("--device", default="cpu", help="device of --variant")
    return options.parse_args()


def measure_all(
    variants: tuple[str, ...],
    size: int,
    threads: int,
    device: str,
    args: argparse.Namespace,
) -> dict[str, list[dict[str, Any]]]:
    """Return the results of the processes of each variant, which alternate."""
    results: dict[str, list[dict[str, Any]]] = {variant: [] for variant in variants}
    for _ in range(args.repeat):
        for variant in variants:
            command = [
                sys.executable, "-m", "benchmarks.training", "--variant", variant,
                "--sizes", str(size), "--threads", str(threads),
                "--steps", str(args.steps), "--device", device,
            ]  # fmt: skip
            allocator = {} if variant == "plain" else ALLOCATOR
            output = subprocess.run(
                command,
                env={**os.environ, **allocator},
                check=True,
                stdout=subprocess.PIPE,
            ).stdout
            results[variant].append(json.loads(output.splitlines()[-1]))
    return results


def compared(results: Mapping[str, list[dict[str, Any]]], size: int) -> dict[str, Any]:
    """Return rates, their ratio and the estimated time of the paper's setting."""
    plain = [median_of(run) for run in results["plain"]]
    result: dict[str, Any] = {"plain img/s": rates(plain)}
    for variant, runs in results.items():
        if variant == "plain":
            continue
        steps = [median_of(run) for run in runs]
        pairs = sorted(p / s for p, s in zip(plain, steps, strict=True))
        result[f"{variant} img/s"] = rates(steps)
        result[f"{variant} / plain"] = f"{pairs[0]:.2f} to {pairs[-1]:.2f}"
        alone = sorted(r["alone"] / s for r, s in zip(runs, steps, strict=True))
        result[f"{variant}: convolutions alone"] = f"{alone[0]:.0%} to {alone[-1]:.0%}"
        result[f"{variant}: losses differ by"] = difference(
            results["plain"][0], runs[0]
        )
        if size == FULL["size"]:
            hours = min(steps) * FULL["tiles"] / BATCH * FULL["epochs"] / 3600
            result[f"{variant}: the paper's 100 epochs"] = f"{hours:.2f} h"
    return result


def median_of(run: Mapping[str, Any]) -> float:
    """Return the median of a process's steps, in seconds."""
    return float(statistics.median(run["seconds"]))


def rates(steps: list[float]) -> str:
    """Return the rates of the slowest and the fastest process, in images per second."""
    return f"{BATCH / max(steps):.1f} to {BATCH / min(steps):.1f}"


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Return the largest relative difference of the losses of two variants."""
    losses = np.array(one["losses"]), np.array(other["losses"])
    return float(np.abs(losses[0] / losses[1] - 1).max())


def measure(
    variant: str, size: int, threads: int, args: argparse.Namespace
) -> dict[str, Any]:
    """Return seconds and losses of the steps, and seconds of the convolutions."""
    if threads:
        torch.set_num_threads(threads)
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (BATCH * 2, size // 8, size // 8), dtype=np.uint8)
    tiles = np.kron(coarse, np.ones((1, 8, 8), dtype=np.uint8))
    config = replace(PAPER, size=size, clusters=2, **VARIANTS[variant])
    training = TrainingSet(tiles, {}, np.ones(len(tiles)))
    run = begin_run(training, training, config, args.device, None, None)
    step = plain_steps(run, BATCH) if variant == "plain" else veritag_steps(run)
    seconds, losses = [], []
    clock = time.process_time if threads == 1 else time.perf_counter
    for _ in range(args.steps + (3 if args.device == "cuda" else 1)):
        start = clock()
        losses.append(step())
        wait(args.device)
        seconds.append(clock() - start)
    alone = convolutions_alone(run, clock) if variant != "plain" else 0.0
    return {"seconds": seconds[-args.steps :], "losses": losses, "alone": alone}


def veritag_steps(run: LoopState) -> Callable[[], float]:
    """Return a function that runs one step of Veritag's loop and returns its loss."""
    network = run.trained.network.train()
    stepping = make_stepper(network, 1e-3, 10**9, run.ranks)
    start = 0

    def step() -> float:
        nonlocal start
        rows = np.arange(start, start + BATCH) % len(run.training)
        start += BATCH
        terms, _ = run.objective.image_terms(rows)
        stepping.begin_pass()
        stepping.step(terms, 1.0)
        return stepping.totals()["reconstruction"]

    return step


def convolutions_alone(run: LoopState, clock: Callable[[], float]) -> float:
    """Return seconds of the convolutions of a step, forward and backward."""
    device, dtype = run.device, torch.float32
    if run.config.precision == "bf16":
        dtype = torch.bfloat16
    layout = torch.channels_last
    total, side = 0.0, run.config.size
    # Convolutions of the encoder, outermost first; the decoder mirrors them.
    for before, after in ((1, 32), (32, 32), (32, 64), (64, 64), (64, 64)):
        for inside, outside in ((before, after), (after, before)):
            maps = torch.rand(BATCH, inside, side, side, device=device, dtype=dtype)
            maps = maps.contiguous(memory_format=layout).requires_grad_(inside > 1)
            layer = nn.Conv2d(inside, outside, 3, padding=1).to(device, dtype)
            layer = layer.to(memory_format=layout)  # type: ignore[call-overload]
            total += forward_and_backward(layer, maps, device, clock)
        side //= 2
    return total


def forward_and_backward(
    layer: nn.Module, maps: Tensor, device: str, clock: Callable[[], float]
) -> float:
    """Return the median of three forward and backward passes, in seconds."""
    seconds = []
    gradient = torch.ones_like(layer(maps))
    for _ in range(4):
        wait(device)
        start = clock()
        layer(maps).backward(gradient)
        wait(device)
        seconds.append(clock() - start)
    return statistics.median(seconds[1:])


def wait(device: str) -> None:
    """Wait until a GPU has finished its work."""
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
