"""Fuzzing of a running listener with hostile bytes, up to millions of cases.

Starts a real `veritag listen`, sends cases from several processes, and checks after each
batch: the process is the same and stores a valid instance in time; memory, threads and
descriptors have not grown; exactly the instances with the answer 0x0000 are in the spool,
byte for byte; there is no other file; every line of the log is JSON of a known event
without a traceback; every answer was a valid PDU. A case depends on seed and number only,
so `--only NUMBER` repeats it.

    python benchmarks/fuzz.py --cases 1000000 [--minutes 60] [--seed 1]
                              [--reception fast|stock|both] [--indexer]
                              [--report FILE] [--only NUMBER]
"""

import argparse
import itertools
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.running import exit_on_sigterm
from tests.fuzz.client import Client, Ledger, store_valid
from tests.fuzz.connection import Violation
from tests.fuzz.listener import ProcessUsage, Target
from tests.fuzz.oracle import check_files, check_metrics

BATCH = 10_000
# Cases that a client fetches at a time, and sends without waiting where possible.
WINDOW = 16
# Time limit for the answer to a valid instance during fuzzing.
VALID_SECONDS = 10.0


# Durability is not tested here: a file system in memory makes fsync fast.
_MEMORY = next((p for p in [Path("/dev/shm")] if p.is_dir()), None)  # noqa: S108


@dataclass
class FuzzRun:
    """One run against one listener."""

    reception: str
    indexer: bool
    seed: int
    cases: int = 0
    seconds: float = 0.0
    ledger: Ledger = field(default_factory=Ledger)
    figures: list[ProcessUsage] = field(default_factory=list)
    valid_seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the run as values for the report."""
        slow = sorted(self.valid_seconds) or [0.0]
        return {
            "reception": self.reception,
            "indexer": self.indexer,
            "seed": self.seed,
            "cases": self.cases,
            "seconds": round(self.seconds, 1),
            "per_second": round(self.cases / max(self.seconds, 1e-9), 1),
            "kinds": dict(self.ledger.kinds),
            "ends": dict(self.ledger.ends),
            "statuses": {f"0x{s:04X}": n for s, n in self.ledger.statuses.items()},
            "valid": len(slow),
            "valid_median_ms": round(1000 * slow[len(slow) // 2], 1),
            "valid_longest_ms": round(1000 * slow[-1], 1),
            "figures": [asdict(one) for one in self.figures],
            "events": self.events,
            "problems": self.problems,
        }


def work(port: int, seed: int, numbers: range, threads: int, out: Any) -> None:
    """Send the cases of a range from several threads; put their ledger into `out`."""
    lock, remaining = threading.Lock(), iter(numbers)
    clients = [Client(port, seed) for _ in range(threads)]

    def send(client: Client) -> None:
        while True:
            with lock:
                window = list(itertools.islice(remaining, WINDOW))
            if not window:
                client.close()
                return
            client.run(window)

    runners = [threading.Thread(target=send, args=(client,)) for client in clients]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    total = Ledger()
    for client in clients:
        total.add(client.ledger)
    out.put(total)


def one_batch(
    target: Target, run: FuzzRun, numbers: range, processes: int, threads: int
) -> None:
    """Send a batch from several processes, valid instances meanwhile, and check."""
    context = multiprocessing.get_context("forkserver")
    out = context.SimpleQueue()
    pid = target.process.pid
    parts = [numbers[n::processes] for n in range(processes)]
    senders = [
        context.Process(target=work, args=(target.port, run.seed, part, threads, out))
        for part in parts
    ]
    batch = Ledger()
    valid: set[str] = set()
    done = threading.Event()
    prober = threading.Thread(
        target=_probe, args=(target.port, numbers.start, run, valid, done)
    )
    for sender in senders:
        sender.start()
    prober.start()
    try:
        for _ in senders:
            batch.add(out.get())
        for sender in senders:
            sender.join()
    finally:  # also if the run is interrupted
        for sender in senders:
            sender.terminate()
        done.set()
        prober.join()
    run.cases += len(numbers)
    _check(target, run, batch, valid, pid)


def _probe(
    port: int, first: int, run: FuzzRun, valid: set[str], done: threading.Event
) -> None:
    """Store a valid instance every second, and one at the end."""
    number = first
    last = False
    while not last:
        last = done.wait(1.0)
        try:
            uid, seconds = store_valid(port, number)
            valid.add(uid)
            run.valid_seconds.append(seconds)
            if seconds > VALID_SECONDS:
                run.problems.append(f"a valid instance took {seconds:.1f} s")
        except (Violation, OSError) as error:
            run.problems.append(f"a valid instance failed: {error!r}")
        number += 1


def _check(
    target: Target, run: FuzzRun, batch: Ledger, valid: set[str], pid: int
) -> None:
    if not target.process.is_running() or target.process.poll() is not None:
        raise SystemExit(f"the listener has ended:\n{target.root / 'log'}")
    assert target.process.pid == pid
    run.problems += batch.violations
    run.figures.append(target.idle_usage(run.figures[0]))
    files = target.kept()
    run.problems += check_files(
        run.seed, files, batch.acknowledged, valid, once=run.indexer
    )
    for path in files:
        path.unlink()
    target.look_for_strays()
    target.read_log()
    run.problems += check_metrics(target.metrics())
    run.problems += target.problems
    target.problems.clear()
    batch.acknowledged.clear()
    batch.violations.clear()
    run.ledger.add(batch)
    run.events = dict(target.events)


def fuzz(options: argparse.Namespace, reception: str, cases: int) -> FuzzRun:
    """Run a number of cases against one listener."""
    run = FuzzRun(reception, options.indexer, options.seed)
    root = Path(tempfile.mkdtemp(prefix="veritag-fuzz-", dir=_MEMORY))
    target = Target(root, reception, options.indexer)
    target.start()
    try:
        store_valid(target.port, 0)  # loads all modules
        time.sleep(1.0)
        for path in target.kept():
            path.unlink(missing_ok=True)
        run.figures.append(target.usage())
        for numbers in _batches(options, cases):
            started = time.monotonic()
            one_batch(target, run, numbers, options.processes, options.threads)
            run.seconds += time.monotonic() - started
            _print(run)
            if run.seconds > options.minutes * 60:
                break
    finally:
        target.stop()
        run.problems += target.problems
    if not run.problems:
        shutil.rmtree(root)
    return run


def _batches(options: argparse.Namespace, cases: int) -> Iterator[range]:
    if options.only is not None:
        yield range(options.only, options.only + 1)
        return
    for start in range(0, cases, BATCH):
        yield range(start, min(cases, start + BATCH))


def _print(run: FuzzRun) -> None:
    now = run.figures[-1]
    print(
        f"{run.reception}: {run.cases} cases, {run.cases / run.seconds:.0f}/s, "
        f"{now.rss_mb:.0f} MB, {now.threads} threads, {now.descriptors} descriptors, "
        f"{len(run.problems)} problems",
        flush=True,
    )
    for problem in run.problems[:5]:
        print("  ", problem[:3000])


def main() -> None:
    """Fuzz, print the report, and fail if there are problems."""
    exit_on_sigterm()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--reception", choices=("fast", "stock", "both"), default="both"
    )
    parser.add_argument("--indexer", action="store_true")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=12)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--only", type=int)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    is_both = options.reception == "both"
    receptions = ("fast", "stock") if is_both else (options.reception,)
    runs = [fuzz(options, one, options.cases // len(receptions)) for one in receptions]
    report = [run.as_json() for run in runs]
    if options.report:
        options.report.write_text(json.dumps(report, indent=1))
    print(json.dumps(report, indent=1))
    sys.exit(any(run.problems for run in runs))


if __name__ == "__main__":
    main()
