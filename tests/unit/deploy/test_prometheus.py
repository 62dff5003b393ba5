"""Configuration, alert rules and dashboard, as Prometheus itself reads them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.real_parts import program


@pytest.fixture
def folder(root: Path) -> Path:
    """The folder of Prometheus' files."""
    return root / "deploy/prometheus"


def _promtool(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        [program("promtool"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
    ],
    ids=" ".join,
)
def test_promtool_accepts_the_files(folder: Path, arguments: tuple[str, ...]) -> None:
    """Prometheus accepts the configuration and the rules."""
    _promtool(folder, *arguments)


def test_prometheus_understands_every_panel(
    tmp_path: Path, panels: list[dict[str, Any]]
) -> None:
    """The dashboard's queries are PromQL: each one passes as a recording rule."""
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    rules = [
        {
            "record": f"panel:{number}",
            "expr": query.replace("$__rate_interval", "1m"),
        }
        for number, query in enumerate(queries)
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    _promtool(tmp_path, "check", "rules", "panels.yml")


def test_every_alert_is_seen_firing_and_quiet(
    folder: Path, alerts: list[dict[str, Any]]
) -> None:
    """For each alert there is a case that fires and one that stays quiet."""
    cases = [
        case
        for file in sorted(folder.glob("alerts*.test.yml"))
        for case in yaml.safe_load(file.read_text("utf-8"))["tests"]
    ]
    fired: set[str] = set()
    quiet: set[str] = set()
    for case in (c for test in cases for c in test["alert_rule_test"]):
        (fired if case["exp_alerts"] else quiet).add(case["alertname"])
    names = {alert["alert"] for alert in alerts}
    assert fired == names
    assert quiet == names


def test_every_alert_tells_what_to_do(root: Path, alerts: list[dict[str, Any]]) -> None:
    """Each alert waits, has a severity, and leads to a section of the runbook."""
    runbook = (root / "docs/operations.md").read_text("utf-8")
    sections = {
        title.lower() for title in re.findall(r"^### (\w+)$", runbook, re.MULTILINE)
    }
    for alert in alerts:
        assert alert["for"]
        assert alert["labels"]["severity"] in {"critical", "warning"}
        notes = alert["annotations"]
        assert notes["summary"]
        assert notes["description"]
        page, _, anchor = notes["runbook_url"].partition("#")
        assert page == "docs/operations.md"
        assert anchor == alert["alert"].lower()
        assert anchor in sections


def test_inhibitions_name_alerts_that_exist(
    root: Path, alerts: list[dict[str, Any]]
) -> None:
    """Alertmanager silences nothing that is not there, and routes to receivers it has."""
    path = root / "deploy/alertmanager/alertmanager.yml"
    config = yaml.safe_load(path.read_text("utf-8"))
    names = {alert["alert"] for alert in alerts}
    for rule in config["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            match = re.fullmatch(r'alertname=~?"([\w|]+)"', matcher)
            assert match
            assert set(match[1].split("|")) <= names
    receivers = {receiver["name"] for receiver in config["receivers"]}
    routes = [config["route"], *config["route"]["routes"]]
    assert {route["receiver"] for route in routes} == receivers
