"""Comparison of findings with alternative methods, on unseen patients.

Tags of real images are made wrong in two places: a share of all values in training
(`--poison`), as at a real site, and errors of several rates and kinds on unseen patients
(see `benchmarks.flagging.errors`). The same images, errors and patients are given to
Veritag (ONNX graph, verdict, judgement of the series), a supervised CNN, cleanlab on that
CNN and on the embedding, a vote of neighbors, logistic regression, isolation forests, and
the rules alone. Of a method with several variants the best one counts.

Results are written to DIR/flagging.json after every part, models to DIR/models; the same
command resumes an interrupted run. The report is DIR/report.html.

    python -m benchmarks.flagging.run --images PATH [PATH...] --out DIR
        [--rates 0.01 0.05 0.10] [--poison 0 0.05 0.2 0.3] [--kinds uniform realistic]
        [--only single series cost] [--left-out [KIND...]] [--limit N] [--minutes M]
        [--threads N]
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.flagging.errors import ERROR_KINDS
from model_training.process.torch_runtime import keep_memory
from model_training.runs.recipes import RECIPES

MAIN_POISON, MAIN_RATE = 0.05, 0.05
SECTIONS = ("single", "series", "cost")
REPORT = "report.html"


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.01, 0.05, 0.1])
    parser.add_argument("--poison", type=float, nargs="+", default=[0.05])
    parser.add_argument(
        "--kinds", nargs="+", choices=ERROR_KINDS, default=list(ERROR_KINDS)
    )
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument(
        "--left-out", nargs="*", default=None, metavar="KIND",
        help="train without each of these kinds, such as 'CR HAND'; [a few kinds]",
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=int, default=0, help="most images of a kind and source"
    )
    parser.add_argument(
        "--minutes", type=float, help="start no part after so many minutes"
    )
    parser.add_argument("--size", type=int, default=64, help="side of tiles, pixels")
    parser.add_argument("--recipe", default="veritag", choices=sorted(RECIPES))
    parser.add_argument(
        "--bundle", type=Path,
        help="measure this bundle instead of new ones; trained by veritag train on the "
        "same images with the same seed, with their tags unchanged",
    )  # fmt: skip
    parser.add_argument(
        "--epochs", type=int, help="passes of the encoder before clustering"
    )
    parser.add_argument("--cluster-epochs", type=int, help="passes with clusters")
    parser.add_argument("--clusters", type=int)
    parser.add_argument("--supervised-epochs", type=int, default=14)
    parser.add_argument("--left-out-epochs", type=int, default=6)
    parser.add_argument("--left-out-limit", type=int, default=150, help="see --limit")
    parser.add_argument("--draws", type=int, default=500, help="draws of the bootstrap")
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of split and training"
    )
    parser.add_argument(
        "--threads", type=int, default=0, help="threads of PyTorch; 0: all"
    )
    return parser.parse_args(argv)


@dataclass
class RunTimer:
    """Time limit of a run, and its progress on stderr."""

    minutes: float | None
    started: float = field(default_factory=time.monotonic)

    def log(self, line: str) -> None:
        """Print a line with the elapsed time."""
        seconds = int(time.monotonic() - self.started)
        print(f"[{seconds // 60:3d}:{seconds % 60:02d}] {line}", file=sys.stderr)

    def is_over(self) -> bool:
        """Return whether no further part is to start."""
        elapsed = time.monotonic() - self.started
        return self.minutes is not None and elapsed >= 60 * self.minutes


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    args = arguments(argv)
    import torch

    from benchmarks.flagging.images import read_images
    from benchmarks.flagging.report.page import report_page
    from benchmarks.flagging.store import FlaggingStore

    if args.threads:
        torch.set_num_threads(args.threads)
    timer = RunTimer(args.minutes)
    images = read_images(args.images, args.size, limit=args.limit, seed=args.seed)
    timer.log(f"{len(images.snapshot)} images, {len(images.measured)} of them measured")
    store = FlaggingStore(args.out, _setup(args, images))
    try:
        for step in steps(args, images, store, timer):
            if timer.is_over():
                timer.log("the time is over; the same command resumes the run")
                break
            step()
    finally:
        # An interrupted run also leaves a report of its results so far.
        store.write()
        (args.out / REPORT).write_text(report_page(store), encoding="utf-8")
        print(args.out / REPORT)


def steps(
    args: argparse.Namespace, images: Any, store: Any, timer: RunTimer
) -> Iterator[Any]:
    """Yield the missing parts, the most important first."""
    from benchmarks.flagging.steps import FlaggingBench

    bench = FlaggingBench(args, images, store, timer.log)
    order = sorted(args.poison, key=lambda p: (p != MAIN_POISON, p))
    for poison in order:
        is_main = poison == order[0]
        if "single" in args.only:
            rates = args.rates if is_main else [MAIN_RATE]
            yield from bench.single(poison, rates, args.kinds)
        if is_main and "series" in args.only:
            yield from bench.series(poison)
        if is_main and "cost" in args.only:
            yield from bench.cost(poison)
    if args.left_out is not None:
        yield from bench.left_out(args.left_out)


def _setup(args: argparse.Namespace, images: Any) -> dict[str, Any]:
    from benchmarks.flagging.steps import setup_of

    return setup_of(args, images)


def _command() -> None:
    """Run the benchmark; errors of Veritag end it with their message."""
    from veritag.errors import VeritagError

    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; the same command resumes the run")
    except VeritagError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    keep_memory()
    _command()
