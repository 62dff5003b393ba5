"""How fast instances are received: Veritag, DCMTK storescp, Orthanc, pynetdicom.

Every server runs; they are asked in turns, in an order that changes. TCP_NODELAY is on
at all ends: without it DCMTK and Orthanc wait for delayed acknowledgements. Ours fsyncs
each file and its folder before it answers, the others are as shipped. Before each turn
all is written that others have left in memory. What a server has stored is removed after each turn but for Orthanc's; every instance has a new UID.

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

# So many instances in one turn, whatever the number of associations.
_COUNTS = {"ct": 120, "mr": 240, "dx": 16}
_EACH_COUNT = 40


@dataclass(frozen=True)
class Case:
    """Who sends what over how many associations at a time.

    `each`: the lean client, with an association for every object.
    """

    kind: str
    client: str
    associations: int

    def __str__(self) -> str:
        return f"{self.kind} {self.client} x{self.associations}"

    @property
    def count(self) -> int:
        """Instances in one turn."""
        most = _EACH_COUNT if self.client == "each" else _COUNTS[self.kind]
        return most // self.associations * self.associations


@dataclass
class Figures:
    """What a server did in one case: one rate and CPU time per turn, all latencies."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def told(self, reference: float | None) -> Iterator[tuple[str, float | str]]:
        """Yield what is shown."""
        rate = statistics.median(self.rates)
        yield "rate", round(rate, 1)
        yield "range", f"{min(self.rates):.0f}-{max(self.rates):.0f}"
        if reference:
            yield "ratio", round(rate / reference, 2)
        yield "cpu_ms", round(1000 * statistics.median(self.cpu), 2)
        if self.latencies:
            yield "p50_ms", round(1000 * statistics.median(self.latencies), 2)
            yield "p99_ms", round(1000 * quantile(self.latencies, 0.99), 2)


def take_turn(server: Server, case: Case, folder: Path, figures: Figures) -> None:
    """Send one turn's instances to a server."""
    kind = KINDS[case.kind]
    # An fsync also waits for what others have left to be written.
    os.sync()
    before = cpu_seconds(server.process)
    if case.client in ("lean", "each"):
        took, latencies = send_lean(
            server.port, kind, case.count, case.associations, kept=case.client == "lean"
        )
        figures.latencies.extend(latencies)
    else:
        took = send_by_dcmtk(
            case.client, server.port, kind, case.count, case.associations, folder
        )
        shutil.rmtree(folder)
    time.sleep(0.2)  # a child that has just answered must end to be counted
    figures.rates.append(case.count / took)
    figures.cpu.append((cpu_seconds(server.process) - before) / case.count)


def clean(folder: Path, names: Sequence[str]) -> None:
    """Remove what was stored, so that the disk does not fill and folders stay short."""
    for name in names:
        place = folder / name.replace(" ", "-")
        if name.startswith("veritag"):
            place = place / "spool" / "ready"
        if "Orthanc" not in name and "indexer" not in name:
            for file in place.iterdir():
                if file.is_file():
                    file.unlink()


def run(
    cases: Sequence[Case], names: Sequence[str], rounds: int
) -> dict[Case, dict[str, Figures]]:
    """Measure every case with every server, one warm-up first."""
    with (
        tempfile.TemporaryDirectory(prefix="veritag-reception-") as temporary,
        running_servers(Path(temporary), names) as servers,
    ):
        folder = Path(temporary)
        found = {case: {name: Figures() for name in servers} for case in cases}
        for case in track(cases, "measuring", console=Console(stderr=True)):
            for turn in range(rounds + 1):
                for name in random.sample(list(servers), len(servers)):
                    kept = found[case][name] if turn else Figures()
                    take_turn(servers[name], case, folder / "sent", kept)
                clean(folder, list(servers))
        return found


def table(found: Mapping[str, Figures]) -> dict[str, object]:
    """Return the figures of one case."""
    peer = found.get(REFERENCE)
    reference = statistics.median(peer.rates) if peer else None
    return {name: dict(figures.told(reference)) for name, figures in found.items()}


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
    given = arguments.parse_args()
    names = given.servers.split(",")
    if unknown := set(names) - SERVERS.keys():
        raise SystemExit(f"unknown servers: {unknown}; known: {', '.join(SERVERS)}")
    cases = [
        Case(kind, client, int(associations))
        for kind, client, associations in product(
            given.kinds.split(","),
            given.clients.split(","),
            given.associations.split(","),
        )
    ]
    for case, figures in run(cases, names, given.rounds).items():
        show({"case": str(case), **table(figures)}, as_json=given.json)


if __name__ == "__main__":
    main()
