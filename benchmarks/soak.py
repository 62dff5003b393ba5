"""Is the listener's memory flat? Instances and probes for as long as you like.

Rounds of instances over kept associations, of one association for each instance with
128 contexts, and of probes (connections that close, reset, send half a request, echo).
After each round resident memory, threads and descriptors of all listener processes are
noted. What was received is removed: nobody indexes here.

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
# What is loaded and allocated once is there after some rounds.
_WARM_ROUNDS = 10
_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class ResourceSample:
    """What the listener's processes hold together after so many instances."""

    instances: int
    rss: int
    threads: int
    descriptors: int


def take_sample(process: psutil.Process, instances: int) -> ResourceSample:
    """Look at a process and its children."""
    family = [process, *process.children(recursive=True)]
    return ResourceSample(
        instances,
        sum(p.memory_info().rss for p in family),
        sum(p.num_threads() for p in family),
        sum(p.num_fds() for p in family),
    )


def summary(samples: Sequence[ResourceSample]) -> dict[str, object]:
    """Return how memory, threads and descriptors went, warm-up left out."""
    warm = samples[min(_WARM_ROUNDS, len(samples) - 1) :]
    rss = [sample.rss / _MEGABYTE for sample in warm]
    counts = [sample.instances for sample in warm]
    rises = len(set(counts)) > 1
    slope = float(np.polyfit(counts, rss, 1)[0]) if rises else 0.0
    return {
        "rss MB": {"first": rss[0], "last": rss[-1], "most": max(rss)},
        "rss MB per 10,000 instances": slope * 10_000,
        "threads": _range([sample.threads for sample in warm]),
        "descriptors": _range([sample.descriptors for sample in warm]),
    }


def _range(values: Sequence[int]) -> dict[str, object]:
    return {"first": values[0], "last": values[-1], "most": max(values)}


def soak(
    given: argparse.Namespace, port: int, process: psutil.Process, ready: Path
) -> dict[str, object]:
    """Send and probe until the wanted numbers, and the time, are reached."""
    rounds = max(1, -(-given.instances // _EACH))
    probes = -(-given.probes // rounds)
    began, samples, number = time.monotonic(), [], 0
    while number < rounds or time.monotonic() - began < 60 * given.minutes:
        # Mostly as modalities send; each fifth round as the rudest of them do.
        send_lean(
            port,
            KINDS[given.kind],
            _EACH,
            given.associations,
            kept=number % 5 != 4,
        )
        for probe in range(probes):
            list(PROBES.values())[probe % len(PROBES)](port)
        number += 1
        stored = _empty(ready)
        assert stored == _EACH, f"{stored} of {_EACH} acknowledged instances are there"
        samples.append(take_sample(process, number * _EACH))
        print(samples[-1], file=sys.stderr, flush=True)
    told = {"instances": number * _EACH, "probes": number * probes}
    return {**told, "seconds": time.monotonic() - began, **summary(samples)}


def _empty(ready: Path) -> int:
    """Remove what was received, as the indexer would; return how much it was."""
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
    given = arguments.parse_args()
    port = free_port("127.0.0.1")
    with tempfile.TemporaryDirectory(prefix="veritag-soak-") as folder:
        start = SERVERS[OURS](port, Path(folder))
        told = {
            **start.settings,
            "VERITAG_RECEPTION": "stock" if given.stock else "fast",
            "VERITAG_LISTENER_PROCESSES": str(given.processes),
            # The log would grow and grow in the same folder.
            "VERITAG_LOG_LEVEL": "error",
        }
        with running_server("veritag", start.command, port, told) as server:
            ready = Path(folder) / "spool" / "ready"
            show(soak(given, port, server.process, ready), as_json=given.json)


if __name__ == "__main__":
    main()
