"""DCMTK as the sender, and phantoms to send."""

import os
import re
import subprocess
from pathlib import Path

from pydicom.dataset import Dataset

from tests.acceptance.system import System
from tests.real_parts import program
from veritag.phantoms.series import phantom_series

_SEEDS = iter(range(40_000, 50_000))


def write_phantoms(
    folder: Path,
    kind: str,
    instances: int,
    patients: int = 1,
    size: int | None = None,
    *,
    seed: int | None = None,
) -> list[Dataset]:
    """Write phantoms with new UIDs; return their Data Sets.

    With a `seed` of its own a test gets the same pictures in every run.
    """
    written = []
    if seed is None:
        seed = next(_SEEDS) + os.getpid() * 10_000
    for patient in range(patients):
        written += phantom_series(
            kind, patient=patient, instances=instances, seed=seed, size=size
        )
    for n, ds in enumerate(written):
        ds.save_as(folder / f"{kind}-{seed}-{n}.dcm", enforce_file_format=True)
    return written


def dcmsend(system: System, folder: Path) -> int:
    """Send a folder with DCMTK's dcmsend; return how many were acknowledged."""
    return dcmsend_counts(system, folder)[1]


def dcmsend_counts(system: System, folder: Path) -> tuple[int, int]:
    """Send with dcmsend; return how many it sent and how many were acknowledged."""
    output = _run("dcmsend", "-v", "-aec", "VERITAG", "+sd", "+r", "-dn", "-nh", "-nuc",
                "127.0.0.1", str(system.port), str(folder))  # fmt: skip
    sent = re.search(r"- sent to the peer\s*:\s*(\d+)", output)
    stored = re.search(r"with status SUCCESS\s*:\s*(\d+)", output)
    assert sent, output
    assert stored, output
    return int(sent.group(1)), int(stored.group(1))


def storescu(system: System, folder: Path) -> int:
    """Send a folder with DCMTK's storescu; return how many were acknowledged."""
    output = _run("storescu", "-v", "-aec", "VERITAG", "+sd", "-R", "-nh",
                "127.0.0.1", str(system.port), str(folder))  # fmt: skip
    return output.count("Received Store Response (Success)")


def _run(name: str, *argv: str) -> str:
    answer = subprocess.run(
        [program(name), *argv],
        # DCMTK waits for delayed acknowledgements otherwise, 40 ms for each instance.
        env={**os.environ, "TCP_NODELAY": "1"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=170,
        check=False,
    )
    return answer.stdout + answer.stderr
