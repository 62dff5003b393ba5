"""`veritag demo` as a command."""

import json
import os
import subprocess
import sys

import pytest

from veritag.bundles.bundle import MANIFEST, starter_bundle_path

pytestmark = pytest.mark.acceptance


@pytest.mark.skipif(
    not (starter_bundle_path() / MANIFEST).is_file(),
    reason="there is no starter bundle",
)
def test_the_demo_finds_every_planted_error() -> None:
    """With the starter bundle all planted errors are found, and nothing is lost."""
    answer = subprocess.run(
        [sys.executable, "-m", "veritag.cli", "demo", "--exit", "--json"],
        env={k: v for k, v in os.environ.items() if not k.startswith("VERITAG_")},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    report = json.loads(answer.stdout)
    assert answer.returncode == 0, answer.stderr
    assert report["received"] == report["sent"] > 100
    assert report["missed"] == 0
    assert report["found"] == report["planted"] >= 5
    assert report["false_alarms"] == 0
    assert report["review_url"].startswith("http://127.0.0.1:")
