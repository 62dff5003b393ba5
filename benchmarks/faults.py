"""Fault injection into a running system, and check that nothing is lost.

Senders send a known list of instances while processes are killed, the broker is flushed,
broker and database are stopped, the disk fills up and the clock jumps. At the end every
instance with the answer 0x0000 must be archived byte for byte, recorded once and
inspected once. Filling the disk and shifting the clock need Linux; the former also needs
root (for a file system of its own), the latter a C compiler.

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
from tests.faults.fault_run import Plan, Result, run  # noqa: E402
from tests.faults.injector import Incident  # noqa: E402
from tests.faults.ledger import Ledger  # noqa: E402
from tests.faults.run_report import markdown, write  # noqa: E402
from tests.faults.senders import Pace  # noqa: E402

_KILL_EVERY_SECONDS = 7.0
_INSTANCES_PER_SECOND = 7.5


def main() -> int:
    """Run the benchmark; return 1 if an instance was lost, doubled or not inspected."""
    exit_on_sigterm()
    options = _arguments()
    seconds = options.minutes * 60
    plan = Plan(
        seconds=seconds,
        instances=options.instances or int(seconds * _INSTANCES_PER_SECOND),
        kills=int(seconds / _KILL_EVERY_SECONDS)
        if options.kills is None
        else options.kills,
        seed=options.seed,
        senders=options.senders,
        database=options.database,
        quiet_seconds=600,
        faults=[name.strip() for name in options.faults.split(",") if name.strip()],
    )
    result = _run(plan)
    print(markdown(result))
    if options.report:
        write(result, options.report)
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
        "--faults",
        default="",
        help="prefixes of names, separated by commas; default: all",
    )
    parser.add_argument(
        "--report", type=Path, help="Markdown file, with a JSON file beside it"
    )
    return parser.parse_args()


def _run(plan: Plan) -> Result:
    with Progress(
        TextColumn("{task.description:28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as progress:
        sent = progress.add_task("starting", total=None, note="")
        kills = progress.add_task("kills", total=plan.kills, note="")

        def update(
            pace: Pace, ledger: Ledger, done: Sequence[Incident], what: str
        ) -> None:
            note = f"{len(ledger.acknowledged)} safe, {ledger.lost} lost connections"
            progress.update(
                sent,
                description="sending",
                total=pace.total,
                completed=pace.handed_out,
                note=note,
            )
            killed = sum(1 for incident in list(done) if incident.processes_killed)
            progress.update(kills, completed=killed, note=what)

        return run(plan, update)


if __name__ == "__main__":
    sys.exit(main())
