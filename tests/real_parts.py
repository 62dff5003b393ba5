"""Real parts that tests need: skipped on a laptop with the reason, failing in CI."""

import os

import pytest

from tests.programs import find_program

CI = os.environ.get("CI") == "true"


# `make test-stock` runs on the other way of reception; all other settings stay out.
KEPT_SETTINGS = frozenset({"VERITAG_RECEPTION"})


def outside() -> dict[str, str]:
    """Return the variables for a process, without settings of who runs the tests."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("VERITAG_") or name in KEPT_SETTINGS
    }


def require(present: object, reason: str) -> None:
    """Skip the test with the reason where a part is missing; in CI fail instead."""
    if present:
        return
    if CI:
        pytest.fail(reason)
    pytest.skip(reason)


def program(name: str) -> str:
    """Return the path of a program, or skip (in CI: fail)."""
    path = find_program(name)
    require(path, f"{name} is not on the PATH")
    return str(path)
