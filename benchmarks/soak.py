"""Memory, threads and descriptors of the listener over many instances and probes.

Rounds of instances over long associations, rounds with one association of 128 contexts
for each instance, and probes (connections that close, reset, send half a request, echo).
After each round resident memory, threads and descriptors of all listener processes are
recorded. Received files are removed, because no indexer runs.

python -m benchmarks.soak [--instances 50000] [--probes 20000] [--minutes 0]
    [--kind cr] [--associations 4] [--processes 1] [--stock] [--json]
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks.association import running_server
from benchmarks.reception.clients import send_lean
from benchmarks.reception.data import KINDS
from benchmarks.reception.servers import OURS, SERVERS
from benchmarks.running import exit_on_sigterm, parser, show
from services.system.ports import free_port
from tests.integration.listener.probes import PROBES

_EACH = 1000
# After some rounds all modules and caches are loaded.
_WARM_ROUNDS = 10
_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class ResourceSample:
    """Resources of all listener processes after a number of instances."""

    instances: int
    rss: int
    threads: int
    descriptors: int


def take_sample(process: psutil.Process, instances: int) -> ResourceSample:
    """Return the resources of a process and its children."""
    family = [process, *process.children(recursive=True)]
    return ResourceSample(
        instances,
        sum(p.memory_info().rss for p in family),
        sum(p.num_threads() for p in family),
        sum(p.num_fds() for p in family),
    )


def summary(samples: Sequence[ResourceSample]) -> dict[str, object]:
    """Return the course of memory, threads and descriptors after the warm-up."""
    warm = samples[min(_WARM_ROUNDS, len(samples) - 1) :]
    rss = [sample.rss / _MEGABYTE for sample in warm]
    counts = [sample.instances for sample in warm]
    has_slope = len(set(counts)) > 1
    slope = float(np.polyfit(counts, rss, 1)[0]) if has_slope else 0.0
    return {
        "rss MB": {"first": rss[0], "last": rss[-1], "most": max(rss)},
        "rss MB per 10,000 instances": slope * 10_000,
        "threads": _range([sample.threads for sample in warm]),
        "descriptors": _range([sample.descriptors for sample in warm]),
    }


def _range(values: Sequence[int]) -> dict[str, object]:
    return {"first": values[0], "last": values[-1], "most": max(values)}


def soak(
    options: argparse.Namespace, port: int, process: psutil.Process, ready: Path
) -> dict[str, object]:
    """Send and probe until the requested numbers and time are reached."""
    rounds = max(1, -(-options.instances // _EACH))
    probes = -(-options.probes // rounds)
    start, samples, number = time.monotonic(), [], 0
    while number < rounds or time.monotonic() - start < 60 * options.minutes:
        # Most modalities keep an association; every fifth round has one per instance.
        send_lean(
            port,
            KINDS[options.kind],
            _EACH,
            options.associations,
            kept=number % 5 != 4,
        )
        for probe in range(probes):
            list(PROBES.values())[probe % len(PROBES)](port)
        number += 1
        stored = _empty(ready)
        assert stored == _EACH, f"{stored} of {_EACH} acknowledged instances are stored"
        samples.append(take_sample(process, number * _EACH))
        print(samples[-1], file=sys.stderr, flush=True)
    totals = {"instances": number * _EACH, "probes": number * probes}
    return {**totals, "seconds": time.monotonic() - start, **summary(samples)}


def _empty(ready: Path) -> int:
    """Remove the received files, as the indexer would; return their number."""
    files = list(ready.iterdir())
    for file in files:
        file.unlink()
    return len(files)


def main() -> None:
    """Run the benchmark."""
    exit_on_sigterm()
    arguments = parser(__doc__)
    arguments.add_argument("--instances", type=int, default=50_000)
    arguments.add_argument("--probes", type=int, default=20_000)
    arguments.add_argument("--minutes", type=float, default=0.0)
    arguments.add_argument("--kind", choices=KINDS, default="cr")
    arguments.add_argument("--associations", type=int, default=4, choices=(1, 2, 4, 8))
    arguments.add_argument("--processes", type=int, default=1)
    arguments.add_argument("--stock", action="store_true")
    options = arguments.parse_args()
    port = free_port("127.0.0.1")
    with tempfile.TemporaryDirectory(prefix="veritag-soak-") as folder:
        start = SERVERS[OURS](port, Path(folder))
        settings = {
            **start.settings,
            "VERITAG_RECEPTION": "stock" if options.stock else "fast",
            "VERITAG_LISTENER_PROCESSES": str(options.processes),
            # A log of all instances would fill the folder.
            "VERITAG_LOG_LEVEL": "error",
        }
        with running_server("veritag", start.command, port, settings) as server:
            ready = Path(folder) / "spool" / "ready"
            show(soak(options, port, server.process, ready), as_json=options.json)


if __name__ == "__main__":
    main()
