"""The Compose files and the systemd unit run what the project has."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.default_ports import PROCESSES, default_port
from tests.unit.deploy.dockerfile import Stage
from veritag.settings import Settings


def _environment(service: dict[str, Any]) -> dict[str, str]:
    return dict(service.get("environment", {}))


@pytest.mark.parametrize("name", PROCESSES)
def test_service_runs_a_command_that_exists(
    compose: dict[str, Any], stages: dict[str, Stage], commands: set[str], name: str
) -> None:
    """Every service of ours is built from a target and starts a real command."""
    service = compose["services"][name]
    assert service["build"]["target"] in stages
    assert service["command"][0] in commands


@pytest.mark.parametrize("name", PROCESSES)
def test_service_gives_options_that_exist(compose: dict[str, Any], name: str) -> None:
    """The options behind a service's command are options of that command."""
    from typer.main import get_group

    from veritag.cli import build_app

    command, *options = compose["services"][name]["command"]
    known = {
        option
        for parameter in get_group(build_app()).commands[command].params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert set(options) <= known


@pytest.mark.parametrize("name", PROCESSES)
def test_service_uses_settings_that_exist(compose: dict[str, Any], name: str) -> None:
    """Every VERITAG_ variable of a service is a setting."""
    fields = {f"VERITAG_{field.upper()}" for field in Settings.model_fields}
    assert set(_environment(compose["services"][name])) <= {*fields, "TZ"}


def test_listener_knows_neither_database_nor_broker(compose: dict[str, Any]) -> None:
    """Reception depends on nothing but its disk."""
    listener = compose["services"]["listener"]
    assert "datastore" not in listener["networks"]
    assert "depends_on" not in listener
    assert not {"VERITAG_DATABASE_URL", "VERITAG_BROKER_URL"} & {
        *_environment(listener)
    }


def test_data_stores_are_reachable_from_inside_only(compose: dict[str, Any]) -> None:
    """PostgreSQL and Redis publish no port and stand in an internal network."""
    assert compose["networks"]["datastore"] == {"internal": True}
    for name in ("postgres", "redis"):
        assert compose["services"][name]["networks"] == ["datastore"]
        assert "ports" not in compose["services"][name]


def test_the_gpu_file_changes_only_the_worker(
    root: Path, compose: dict[str, Any]
) -> None:
    """Over compose.yaml it gives the worker CUDA 13 with cuDNN, and makes it required."""
    text = (root / "deploy/compose.gpu.yaml").read_text("utf-8")
    (name,) = yaml.safe_load(text)["services"]
    worker = yaml.safe_load(text)["services"][name]
    assert name in compose["services"]
    assert "cuda:13." in worker["build"]["args"]["BASE_IMAGE"]
    assert "cudnn" in worker["build"]["args"]["BASE_IMAGE"]
    assert worker["environment"] == {"VERITAG_REQUIRE_GPU": "1"}


def test_the_tls_file_changes_only_the_listener(
    root: Path, compose: dict[str, Any]
) -> None:
    """Over compose.yaml it closes the plain port and opens that for TLS."""
    text = (root / "deploy/compose.tls.yaml").read_text("utf-8")
    (name,) = yaml.safe_load(text)["services"]
    listener = yaml.safe_load(text)["services"][name]
    assert name in compose["services"]
    fields = {f"VERITAG_{field.upper()}" for field in Settings.model_fields}
    assert set(listener["environment"]) <= fields
    port = listener["environment"]["VERITAG_DICOM_TLS_PORT"]
    assert listener["ports"] == [f"${{VERITAG_DICOM_TLS_PORT:-{port}}}:{port}"]
    (folder,) = listener["volumes"]
    inside = folder.split(":")[1]
    named = {v for v in listener["environment"].values() if v.startswith("/")}
    assert {Path(file).parent for file in named} == {Path(inside)}


def test_only_dicom_is_published_to_the_network(compose: dict[str, Any]) -> None:
    """Pages and dashboards listen on the host's loopback address."""
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:") or name == "listener"


def test_redis_never_drops_a_message(compose: dict[str, Any]) -> None:
    """The broker appends to a file and refuses rather than evicts."""
    command = compose["services"]["redis"]["command"]
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_images_from_elsewhere_are_pinned(compose: dict[str, Any]) -> None:
    """No service follows a moving tag."""
    for service in compose["services"].values():
        if "build" not in service:
            assert re.fullmatch(r"[\w/]+:v?\d+\.\d+[\w.-]*", service["image"])


@pytest.mark.parametrize("name", [*PROCESSES, "postgres", "redis", "prometheus"])
def test_service_starts_again_and_is_watched(
    compose: dict[str, Any], stages: dict[str, Stage], name: str
) -> None:
    """Each long-running service has a restart policy and a health check."""
    service = compose["services"][name]
    assert service["restart"] == "unless-stopped"
    check = str(service.get("healthcheck", ""))
    if name in PROCESSES:
        check = check or stages[service["build"]["target"]].last("HEALTHCHECK") or ""
        assert f":{default_port(name)}/ready" in check
    assert check


def test_volumes_and_networks_are_declared(compose: dict[str, Any]) -> None:
    """Nothing is mounted or joined that the file does not declare."""
    for service in compose["services"].values():
        sources = {volume.partition(":")[0] for volume in service.get("volumes", [])}
        assert {s for s in sources if not s.startswith(".")} <= set(compose["volumes"])
        assert set(service["networks"]) <= set(compose["networks"])
        assert set(service.get("depends_on", [])) <= set(compose["services"])


def test_mounted_files_exist(root: Path, compose: dict[str, Any]) -> None:
    """What is mounted from the repository lies there."""
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            if volume.startswith("."):
                assert (root / "deploy" / volume.partition(":")[0]).is_dir()


def test_the_example_names_every_variable(root: Path) -> None:
    """env.example and compose.yaml have the same variables."""
    text = (root / "deploy/compose.yaml").read_text("utf-8")
    example = (root / "deploy/env.example").read_text("utf-8")
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", text))
    assert used == set(re.findall(r"^(\w+)=", example, re.MULTILINE))
    assert not re.search(r"PASSWORD=.", example)


def test_prometheus_scrapes_every_process(
    compose: dict[str, Any], prometheus: dict[str, Any]
) -> None:
    """There is one job per process, on the port of its settings."""
    targets = {}
    for job in prometheus["scrape_configs"]:
        if "dns_sd_configs" in job:
            (dns,) = job["dns_sd_configs"]
            targets[job["job_name"]] = f"{dns['names'][0]}:{dns['port']}"
        else:
            (targets[job["job_name"]],) = job["static_configs"][0]["targets"]
    expected = {f"veritag-{r}": f"{r}:{default_port(r)}" for r in PROCESSES}
    assert targets == {**expected, "prometheus": "localhost:9090"}
    assert all("services" in compose["services"][r]["networks"] for r in PROCESSES)


def test_the_unit_starts_a_command_that_exists(root: Path, commands: set[str]) -> None:
    """Systemd starts `veritag up` with a data directory of its own."""
    unit = (root / "deploy/systemd/veritag.service").read_text("utf-8")
    command = re.search(r"^ExecStart=\S*/veritag (\w+)$", unit, re.MULTILINE)
    assert command
    assert command[1] in commands
    assert "Environment=VERITAG_DATA_DIR=/var/lib/veritag" in unit
