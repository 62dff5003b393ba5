"""The files of `deploy/`, read once."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.dockerfile import Stage, read_stages

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def stages(root: Path) -> dict[str, Stage]:
    """The stages of the Dockerfile."""
    return read_stages(root / "deploy/Dockerfile")


@pytest.fixture(scope="session")
def compose(root: Path) -> dict[str, Any]:
    """The Compose file."""
    return dict(yaml.safe_load((root / "deploy/compose.yaml").read_text("utf-8")))


@pytest.fixture(scope="session")
def prometheus(root: Path) -> dict[str, Any]:
    """The configuration of Prometheus."""
    path = root / "deploy/prometheus/prometheus.yml"
    return dict(yaml.safe_load(path.read_text("utf-8")))


@pytest.fixture(scope="session")
def alerts(root: Path) -> list[dict[str, Any]]:
    """Every alert rule."""
    path = root / "deploy/prometheus/alerts.yml"
    groups = yaml.safe_load(path.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(scope="session")
def panels(root: Path) -> list[dict[str, Any]]:
    """Every panel of the dashboard that asks for something."""
    path = root / "deploy/grafana/dashboards/veritag.json"
    board = json.loads(path.read_text("utf-8"))
    return [panel for panel in board["panels"] if panel["type"] != "row"]


@pytest.fixture(scope="session")
def commands() -> set[str]:
    """The sub-commands of `veritag`."""
    from typer.main import get_group

    from veritag.cli import build_app

    return set(get_group(build_app()).commands)
