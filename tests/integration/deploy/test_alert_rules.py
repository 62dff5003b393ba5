"""The alert rules fire and stay quiet as their cases say, in Prometheus itself."""

import subprocess
from pathlib import Path

import pytest

from tests.real_parts import program

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parents[3] / "deploy/prometheus"


@pytest.mark.parametrize(
    "cases", sorted(path.name for path in FOLDER.glob("alerts*.test.yml"))
)
def test_rules_pass_their_cases(cases: str) -> None:
    """Every case of the file holds, evaluated by promtool."""
    done = subprocess.run(
        [program("promtool"), "test", "rules", cases],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
