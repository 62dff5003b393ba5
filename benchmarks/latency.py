"""Latency from the answer 0x0000 to the stored verdict, at a low load.

Synthetic instances of several kinds are sent one by one, each over an association of
its own, to a running `veritag up`. The times are those in the records.

python -m benchmarks.latency [--instances 120] [--per-second 2] [--json]
"""

import itertools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select

from benchmarks.running import (
    RunningSystem,
    exit_on_sigterm,
    parser,
    quantile,
    running_system,
    show,
)
from veritag.peers.association import Receiver
from veritag.peers.storage_scu import send
from veritag.phantoms.series import KINDS, phantom_series
from veritag.records import Records
from veritag.records.schema import instances
from veritag.records.status import system_counts

_SEED = 7
_WARM_UP = 10
_WAIT_SECONDS = 60.0


def draw(folder: Path, count: int) -> list[Path]:
    """Write instances of all kinds, alternating."""
    files = []
    for number, kind in zip(range(count), itertools.cycle(KINDS), strict=False):
        (data_set,) = phantom_series(kind, patient=number, instances=1, seed=_SEED)
        files.append(folder / f"{number:04d}.dcm")
        data_set.save_as(files[-1], enforce_file_format=True)
    return files


def send_slowly(system: RunningSystem, files: Sequence[Path], pause: float) -> None:
    """Send the files one by one, at a fixed rate."""
    receiver = Receiver("127.0.0.1", system.dicom_port, "VERITAG")
    due = time.monotonic()
    for file in files:
        time.sleep(max(0.0, due - time.monotonic()))
        due += pause
        (outcome,) = send(receiver, [file])
        assert outcome.stored, outcome.reason


def wait_for_verdicts(records: Records, count: int) -> None:
    """Wait until all instances are inspected."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while system_counts(records).inspected < count:
        assert time.monotonic() < deadline, "some instances were not inspected"
        time.sleep(0.2)


def latencies(records: Records) -> list[float]:
    """Return the seconds from acknowledgement to verdict, ordered by reception."""
    query = select(instances.c.received_at, instances.c.inspected_at)
    with records.read() as connection:
        rows = connection.execute(query.order_by(instances.c.received_at)).all()
    return [(inspected - received).total_seconds() for received, inspected in rows]


def main() -> None:
    """Run the benchmark."""
    exit_on_sigterm()
    arguments = parser(__doc__)
    arguments.add_argument("--instances", type=int, default=120)
    arguments.add_argument("--per-second", type=float, default=2)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="veritag-latency-") as folder:
        outgoing, data_dir = Path(folder) / "outgoing", Path(folder) / "data"
        outgoing.mkdir()
        files = draw(outgoing, options.instances + _WARM_UP)
        with running_system(data_dir) as system:
            send_slowly(system, files, 1 / options.per_second)
            records = Records.open(f"sqlite:///{data_dir / 'records.sqlite3'}")
            wait_for_verdicts(records, len(files))
            seconds = latencies(records)[_WARM_UP:]
            records.close()
    quantiles = {
        f"p{p}_seconds": round(quantile(seconds, p / 100), 3) for p in (50, 95, 99)
    }
    result = {"instances": len(seconds), "per_second": options.per_second, **quantiles}
    show({**result, "longest_seconds": round(max(seconds), 3)}, as_json=options.json)


if __name__ == "__main__":
    main()
