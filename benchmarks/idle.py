"""What an idle `veritag up` costs: share of one core and memory, by process.

python -m benchmarks.idle [--seconds 60] [--settle 30] [--json]
"""

import json
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.running import (
    RunningSystem,
    exit_on_sigterm,
    parser,
    running_system,
    show,
)

MEGABYTE = 1e6


def roles(system: RunningSystem) -> dict[int, str]:
    """Return what each process of the system is for."""
    named = {system.process.pid: "supervisor"}
    for file in (system.data_dir / "run").glob("*.json"):
        told = json.loads(file.read_text("utf-8"))
        if "role" in told:
            named[told["pid"]] = told["role"]
    return named


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time that a process has used so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(system: RunningSystem, seconds: float) -> dict[str, object]:
    """Watch all processes for a while and return what they used."""
    named = roles(system)
    parent = psutil.Process(system.process.pid)
    processes = [parent, *parent.children(recursive=True)]
    before = [cpu_seconds(process) for process in processes]
    began = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    by_role: dict[str, object] = {}
    cpu, rss, pss = 0.0, 0.0, 0.0
    for process, used in zip(processes, before, strict=True):
        share = (cpu_seconds(process) - used) / passed
        memory = process.memory_full_info()
        by_role[named.get(process.pid, f"other {process.pid}")] = {
            "cpu_percent": round(100 * share, 2),
            "rss_mb": round(memory.rss / MEGABYTE, 1),
            "pss_mb": round(memory.pss / MEGABYTE, 1),
        }
        cpu, rss, pss = cpu + share, rss + memory.rss, pss + memory.pss
    total = {
        "cpu_percent": round(100 * cpu, 2),
        "rss_mb": round(rss / MEGABYTE, 1),
        "pss_mb": round(pss / MEGABYTE, 1),
    }
    return {"seconds": round(passed, 1), **by_role, "all together": total}


def main() -> None:
    """Run the benchmark."""
    exit_on_sigterm()
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--settle", type=float, default=30)
    given = arguments.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="veritag-idle-") as folder,
        running_system(Path(folder)) as system,
    ):
        time.sleep(given.settle)
        show(measure(system, given.seconds), as_json=given.json)


if __name__ == "__main__":
    main()
