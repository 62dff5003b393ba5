"""Strikes a running system down again and again, and looks whether anything was lost.

Senders with a known list send while processes are killed, the broker is flushed, broker
and database are stopped, the disk fills and the clock jumps. At the end every instance
that was answered 0x0000 must be there byte for byte, recorded once, inspected once.
The disk can be filled and the clock shifted only on Linux: by root (a file system of
its own), and with a C compiler.

python benchmarks/faults.py --minutes 25 [--kills 220] [--instances 11000] [--seed 1]
    [--database sqlite|postgresql] [--faults listener,broker,...] [--report FILE]
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402
from rich.progress import (  # noqa: E402
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from benchmarks.running import exit_on_sigterm  # noqa: E402
from tests.faults.injecting import Incident  # noqa: E402
from tests.faults.ledger import Ledger  # noqa: E402
from tests.faults.reporting import markdown, write  # noqa: E402
from tests.faults.running import Plan, Result, run  # noqa: E402
from tests.faults.senders import Pace  # noqa: E402

_KILL_EVERY_SECONDS = 7.0
_INSTANCES_PER_SECOND = 7.5


def main() -> int:
    """Run as asked; 1 if anything was lost, doubled or left undone."""
    exit_on_sigterm()
    given = _arguments()
    seconds = given.minutes * 60
    plan = Plan(
        seconds=seconds,
        instances=given.instances or int(seconds * _INSTANCES_PER_SECOND),
        kills=int(seconds / _KILL_EVERY_SECONDS)
        if given.kills is None
        else given.kills,
        seed=given.seed,
        senders=given.senders,
        database=given.database,
        quiet_seconds=600,
        faults=[name.strip() for name in given.faults.split(",") if name.strip()],
    )
    result = _run(plan)
    print(markdown(result))
    if given.report:
        write(result, given.report)
    return 0 if result.holds and not result.notes else 1


def _arguments() -> Namespace:
    parser = ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--instances", type=int, help="default: 7.5 for each second")
    parser.add_argument("--kills", type=int, help="default: one every 7 seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--senders", type=int, default=6)
    parser.add_argument(
        "--database", choices=("sqlite", "postgresql"), default="sqlite"
    )
    parser.add_argument(
        "--faults", default="", help="beginnings of names, by commas; default: all"
    )
    parser.add_argument("--report", type=Path, help="Markdown file; JSON beside it")
    return parser.parse_args()


def _run(plan: Plan) -> Result:
    with Progress(
        TextColumn("{task.description:28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as progress:
        sent = progress.add_task("starting", total=None, said="")
        kills = progress.add_task("kills", total=plan.kills, said="")

        def tell(
            pace: Pace, ledger: Ledger, done: Sequence[Incident], what: str
        ) -> None:
            said = f"{len(ledger.acknowledged)} safe, {ledger.lost} lost connections"
            progress.update(
                sent,
                description="sending",
                total=pace.total,
                completed=pace.handed_out,
                said=said,
            )
            killed = sum(1 for incident in list(done) if incident.processes_killed)
            progress.update(kills, completed=killed, said=what)

        return run(plan, tell)


if __name__ == "__main__":
    sys.exit(main())
