"""Rate of reception of instances: Veritag, DCMTK storescp, Orthanc, pynetdicom.

All servers run at the same time and take turns in random order. TCP_NODELAY is on at all
ends: without it DCMTK and Orthanc wait for delayed acknowledgements. Veritag fsyncs each
file and its folder before it answers; the others have their default configuration. Before
each turn all buffered writes are flushed. Stored files are removed after each turn, except
Orthanc's. Every instance has a new UID.

python -m benchmarks.reception.run [--rounds 5] [--kinds ct,mr,dx] [--associations 1,4,8]
    [--clients storescu,dcmsend,lean,each] [--servers veritag,storescp,...] [--json]
"""

import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.association import Server, cpu_seconds
from benchmarks.reception.clients import send_by_dcmtk, send_lean
from benchmarks.reception.data import KINDS
from benchmarks.reception.servers import REFERENCE, SERVERS, running_servers
from benchmarks.running import exit_on_sigterm, parser, quantile, show

# Instances of one turn, for any number of associations.
_COUNTS = {"ct": 120, "mr": 240, "dx": 16}
_EACH_COUNT = 40


@dataclass(frozen=True)
class Case:
    """A kind of image, a client and a number of simultaneous associations.

    The client `each` is the lean client with an association for every object.
    """

    kind: str
    client: str
    associations: int

    def __str__(self) -> str:
        return f"{self.kind} {self.client} x{self.associations}"

    @property
    def count(self) -> int:
        """Instances in one turn."""
        limit = _EACH_COUNT if self.client == "each" else _COUNTS[self.kind]
        return limit // self.associations * self.associations


@dataclass
class CaseResult:
    """Result of a server in one case: rate and CPU time of each turn, all latencies."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def columns(self, reference: float | None) -> Iterator[tuple[str, float | str]]:
        """Yield name and value of each column of the table."""
        rate = statistics.median(self.rates)
        yield "rate", round(rate, 1)
        yield "range", f"{min(self.rates):.0f}-{max(self.rates):.0f}"
        if reference:
            yield "ratio", round(rate / reference, 2)
        yield "cpu_ms", round(1000 * statistics.median(self.cpu), 2)
        if self.latencies:
            yield "p50_ms", round(1000 * statistics.median(self.latencies), 2)
            yield "p99_ms", round(1000 * quantile(self.latencies, 0.99), 2)


def take_turn(server: Server, case: Case, folder: Path, result: CaseResult) -> None:
    """Send one turn's instances to a server."""
    kind = KINDS[case.kind]
    # An fsync also waits for buffered writes of the other servers.
    os.sync()
    before = cpu_seconds(server.process)
    if case.client in ("lean", "each"):
        elapsed, latencies = send_lean(
            server.port, kind, case.count, case.associations, kept=case.client == "lean"
        )
        result.latencies.extend(latencies)
    else:
        elapsed = send_by_dcmtk(
            case.client, server.port, kind, case.count, case.associations, folder
        )
        shutil.rmtree(folder)
    time.sleep(0.2)  # CPU time of a child counts after its end only
    result.rates.append(case.count / elapsed)
    result.cpu.append((cpu_seconds(server.process) - before) / case.count)


def clean(folder: Path, names: Sequence[str]) -> None:
    """Remove stored files, so that the disk does not fill and folders stay small."""
    for name in names:
        storage = folder / name.replace(" ", "-")
        if name.startswith("veritag"):
            storage = storage / "spool" / "ready"
        if "Orthanc" not in name and "indexer" not in name:
            for file in storage.iterdir():
                if file.is_file():
                    file.unlink()


def run(
    cases: Sequence[Case], names: Sequence[str], rounds: int
) -> dict[Case, dict[str, CaseResult]]:
    """Measure every case with every server, after one warm-up turn."""
    with (
        tempfile.TemporaryDirectory(prefix="veritag-reception-") as temporary,
        running_servers(Path(temporary), names) as servers,
    ):
        folder = Path(temporary)
        results = {case: {name: CaseResult() for name in servers} for case in cases}
        for case in track(cases, "measuring", console=Console(stderr=True)):
            for turn in range(rounds + 1):
                for name in random.sample(list(servers), len(servers)):
                    result = results[case][name] if turn else CaseResult()
                    take_turn(servers[name], case, folder / "sent", result)
                clean(folder, list(servers))
        return results


def table(results: Mapping[str, CaseResult]) -> dict[str, object]:
    """Return the columns of each server in one case."""
    peer = results.get(REFERENCE)
    reference = statistics.median(peer.rates) if peer else None
    return {name: dict(r.columns(reference)) for name, r in results.items()}


def main() -> None:
    """Run the benchmark."""
    exit_on_sigterm()
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--kinds", default="ct,mr,dx")
    arguments.add_argument("--associations", default="1,4,8")
    arguments.add_argument("--clients", default="storescu,dcmsend,lean,each")
    arguments.add_argument(
        "--servers", default="veritag,veritag stock,storescp,Orthanc,pynetdicom"
    )
    options = arguments.parse_args()
    names = options.servers.split(",")
    if unknown := set(names) - SERVERS.keys():
        raise SystemExit(f"unknown servers: {unknown}; known: {', '.join(SERVERS)}")
    cases = [
        Case(kind, client, int(associations))
        for kind, client, associations in product(
            options.kinds.split(","),
            options.clients.split(","),
            options.associations.split(","),
        )
    ]
    for case, results in run(cases, names, options.rounds).items():
        show({"case": str(case), **table(results)}, as_json=options.json)


if __name__ == "__main__":
    main()
