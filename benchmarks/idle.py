"""CPU and memory of an idle `veritag up`, by process.

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
    """Return process id to role for the processes of the system."""
    names = {system.process.pid: "supervisor"}
    for file in (system.data_dir / "run").glob("*.json"):
        status = json.loads(file.read_text("utf-8"))
        if "role" in status:
            names[status["pid"]] = status["role"]
    return names


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(system: RunningSystem, seconds: float) -> dict[str, object]:
    """Return the CPU and memory of all processes over a time."""
    role_of = roles(system)
    parent = psutil.Process(system.process.pid)
    processes = [parent, *parent.children(recursive=True)]
    before = [cpu_seconds(process) for process in processes]
    start = time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - start
    by_role: dict[str, object] = {}
    cpu, rss, pss = 0.0, 0.0, 0.0
    for process, used in zip(processes, before, strict=True):
        share = (cpu_seconds(process) - used) / elapsed
        memory = process.memory_full_info()
        by_role[role_of.get(process.pid, f"other {process.pid}")] = {
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
    return {"seconds": round(elapsed, 1), **by_role, "all together": total}


def main() -> None:
    """Run the benchmark."""
    exit_on_sigterm()
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--settle", type=float, default=30)
    options = arguments.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="veritag-idle-") as folder,
        running_system(Path(folder)) as system,
    ):
        time.sleep(options.settle)
        show(measure(system, options.seconds), as_json=options.json)


if __name__ == "__main__":
    main()
