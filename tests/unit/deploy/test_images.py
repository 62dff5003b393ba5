"""The images of the Dockerfile are made of what the project has."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.unit.deploy.default_ports import default_port
from tests.unit.deploy.dockerfile import Stage

ROLES = ("listener", "worker", "review", "training")
# The process of an image, where it has another name.
IMAGE_ROLE = {"training": "trainer"}


@pytest.mark.parametrize("role", ROLES)
def test_image_installs_exactly_its_extra(
    root: Path, stages: dict[str, Stage], role: str
) -> None:
    """An image carries the packages of its role and of no other."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    runs = " ".join(text for word, text in stages[role].instructions if word == "RUN")
    assert re.findall(r"\[(\w+)\]", runs) == [role]
    assert role in project["optional-dependencies"]


@pytest.mark.parametrize("role", ROLES)
def test_image_does_not_run_as_root(stages: dict[str, Stage], role: str) -> None:
    """The last USER of each image is ours, and not root."""
    assert stages[role].parent == "base"
    assert stages[role].last("USER") == "veritag"


@pytest.mark.parametrize("role", ROLES)
def test_image_starts_a_command_that_exists(
    stages: dict[str, Stage], commands: set[str], role: str
) -> None:
    """`docker run` without arguments starts the role's own command."""
    assert json.loads(stages[role].last("ENTRYPOINT") or "") == ["veritag"]
    assert json.loads(stages[role].last("CMD") or "")[0] in commands


@pytest.mark.parametrize("role", ROLES)
def test_image_asks_its_own_port_whether_it_is_ready(
    stages: dict[str, Stage], role: str
) -> None:
    """The health check asks `/ready` on the port that the settings give the role."""
    check = stages[role].last("HEALTHCHECK") or ""
    port = default_port(IMAGE_ROLE.get(role, role))
    assert f"http://127.0.0.1:{port}/ready" in check
    assert str(port) in (stages[role].last("EXPOSE") or "").split()


def test_everything_the_wheel_needs_reaches_the_build(
    root: Path, stages: dict[str, Stage]
) -> None:
    """What the Dockerfile copies exists, is not ignored, and covers every package."""
    copied = set()
    for word, text in stages["wheel"].instructions:
        if word == "COPY":
            copied |= set(text.split()[:-1])
    ignore = (root / "deploy/Dockerfile.dockerignore").read_text("utf-8")
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(packages) <= copied
    assert all((root / name).exists() and f"!{name}\n" in ignore for name in copied)


def test_base_images_are_pinned(root: Path, stages: dict[str, Stage]) -> None:
    """Each image that comes from elsewhere has a version."""
    text = (root / "deploy/Dockerfile").read_text("utf-8")
    assert re.search(
        r"^ARG PYTHON_IMAGE=python:3\.12\.\d+-slim-bookworm$", text, re.MULTILINE
    )
    parents = {stage.parent for stage in stages.values()}
    assert parents == {"${PYTHON_IMAGE}", "${BASE_IMAGE}", "base"}
