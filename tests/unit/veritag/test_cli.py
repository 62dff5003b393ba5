"""The command line as a process."""

import os
import subprocess
import sys

import pytest

from veritag import __version__


def veritag(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "veritag.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )


def test_the_command_tells_its_version() -> None:
    """`veritag --version` prints one line."""
    assert veritag("--version").stdout == f"veritag {__version__}\n"


def test_an_error_of_ours_is_said_in_words() -> None:
    """A wrong setting ends with status 1 and one readable line, no traceback."""
    out = veritag("config", VERITAG_DICOM_PORT="x")
    assert out.returncode == 1
    assert "VERITAG_DICOM_PORT" in out.stderr
    assert "Traceback" not in out.stderr


def test_a_wrong_option_is_a_usage_error() -> None:
    """Status 2, as everywhere on the command line."""
    assert veritag("config", "--no-such-option").returncode == 2


@pytest.mark.parametrize(
    ("room", "command"),
    [("services.indexer", "index"), ("services.listener", "listen")],
)
def test_a_room_by_itself_ends_with_a_message(room: str, command: str) -> None:
    """An error of Veritag has no traceback either where a room runs by itself."""
    out = subprocess.run(
        [sys.executable, "-m", room, command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "VERITAG_DICOM_PORT": "x"},
    )
    assert out.returncode == 1
    assert "VERITAG_DICOM_PORT" in out.stderr
    assert "Traceback" not in out.stderr
