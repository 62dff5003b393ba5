"""Findings against what a user would otherwise do, on patients that nobody trained on.

Tags of real images are made wrong in two places. In training a share of all values is
wrong (`--poison`), as at a real site; on unseen patients errors are injected at several
rates and in several ways (see `benchmarks.flagging.errors`). The same images, errors and
patients go to the product's own path (ONNX graph, verdict, judgement of the series), to
a supervised CNN, cleanlab on that CNN and on our embedding, a vote of neighbors, logistic
regression, isolation forests, and the rules alone. Where a method can say a thing in
several ways, its best one counts.

Results are kept in DIR/flagging.json after every part, models in DIR/models; the same
command goes on where it stopped. The page is DIR/report.html.

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

from benchmarks.flagging.errors import KINDS
from model_training.process.torch_runtime import keep_memory

MAIN_POISON, MAIN_RATE = 0.05, 0.05
SECTIONS = ("single", "series", "cost")
REPORT = "report.html"


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what was asked for."""
    made = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--images", type=Path, nargs="+", required=True)
    made.add_argument("--out", type=Path, required=True)
    made.add_argument("--rates", type=float, nargs="+", default=[0.01, 0.05, 0.1])
    made.add_argument("--poison", type=float, nargs="+", default=[0.05])
    made.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    made.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    made.add_argument(
        "--left-out", nargs="*", default=None, metavar="KIND",
        help="train without each of these kinds, such as 'CR HAND'; [a handful]",
    )  # fmt: skip
    made.add_argument(
        "--limit", type=int, default=0, help="images of a kind and source"
    )
    made.add_argument("--minutes", type=float, help="begin nothing after so many")
    made.add_argument("--size", type=int, default=64, help="side of tiles, pixels")
    made.add_argument("--recipe", default="veritag")
    made.add_argument(
        "--bundle", type=Path,
        help="measure this one, trained by veritag train on the same images with the "
        "same seed, in place of new ones; its tags in training were as they came",
    )  # fmt: skip
    made.add_argument("--epochs", type=int, help="of ours before there are clusters")
    made.add_argument("--cluster-epochs", type=int, help="of ours with clusters")
    made.add_argument("--clusters", type=int)
    made.add_argument("--supervised-epochs", type=int, default=14)
    made.add_argument("--left-out-epochs", type=int, default=6)
    made.add_argument("--left-out-limit", type=int, default=150, help="see --limit")
    made.add_argument("--draws", type=int, default=500, help="of the bootstrap")
    made.add_argument("--seed", type=int, default=1, help="of split and training")
    made.add_argument("--threads", type=int, default=0, help="of PyTorch; 0: all")
    return made.parse_args(given)


@dataclass
class Clock:
    """Whether there is time to begin another part, and a line for each on stderr."""

    minutes: float | None
    begun: float = field(default_factory=time.monotonic)

    def tell(self, line: str) -> None:
        """Print a line with the time so far."""
        seconds = int(time.monotonic() - self.begun)
        print(f"[{seconds // 60:3d}:{seconds % 60:02d}] {line}", file=sys.stderr)

    def is_up(self) -> bool:
        """Tell whether no further part is to begin."""
        passed = time.monotonic() - self.begun
        return self.minutes is not None and passed >= 60 * self.minutes


def main(given: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    args = arguments(given)
    import torch

    from benchmarks.flagging.images import read_images
    from benchmarks.flagging.report.page import report_page
    from benchmarks.flagging.store import FlaggingStore

    if args.threads:
        torch.set_num_threads(args.threads)
    clock = Clock(args.minutes)
    images = read_images(args.images, args.size, limit=args.limit, seed=args.seed)
    clock.tell(
        f"{len(images.snapshot)} images, {len(images.measured)} of them measured"
    )
    store = FlaggingStore(args.out, _setup(args, images))
    try:
        for step in steps(args, images, store, clock):
            if clock.is_up():
                clock.tell("the time is up; the same command goes on")
                break
            step()
    finally:
        # Whoever stops a long run sees what it has so far.
        store.write()
        (args.out / REPORT).write_text(report_page(store), encoding="utf-8")
        print(args.out / REPORT)


def steps(
    args: argparse.Namespace, images: Any, store: Any, clock: Clock
) -> Iterator[Any]:
    """Yield what is still to be done, the most important first."""
    from benchmarks.flagging.steps import FlaggingBench

    bench = FlaggingBench(args, images, store, clock.tell)
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
    """Run the benchmark; what people can do something about ends in a sentence."""
    from veritag.errors import VeritagError

    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on")
    except VeritagError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    keep_memory()
    _command()
