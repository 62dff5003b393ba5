"""`veritag config`, `status` and `send` on the command line."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from services.system import commands
from services.system.effective_settings import hide_passwords
from veritag.records import Records
from veritag.settings import Settings, load_settings

runner = CliRunner()


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    commands.register(app)
    return app


@pytest.fixture(autouse=True)
def _no_setting_outlives_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERITAG_DATA_DIR", "")


def test_config_tells_value_source_and_unit_of_every_setting(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each setting is listed with value, source and description."""
    (tmp_path / "veritag.toml").write_text("max_attempts = 5\n")
    monkeypatch.setenv("VERITAG_DICOM_PORT", "104")
    answer = runner.invoke(app, ["config", "--format", "json", "--data", str(tmp_path)])
    rows = {row["name"]: row for row in json.loads(answer.stdout)}
    assert rows.keys() == Settings.model_fields.keys()
    assert (rows["dicom_port"]["value"], rows["dicom_port"]["source"]) == (
        104,
        "environment",
    )
    assert (rows["max_attempts"]["value"], rows["max_attempts"]["source"]) == (
        5,
        "file",
    )
    assert rows["review_port"]["source"] == "default"
    assert all(row["description"] for row in rows.values())


@pytest.mark.parametrize("output", ["table", "json", "toml"])
def test_config_hides_passwords(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    """No form of output shows a password, not even one inside a URL."""
    monkeypatch.setenv("VERITAG_DATABASE_URL", "postgresql://qc:hunter2@db/veritag")
    monkeypatch.setenv("VERITAG_BROKER_URL", "redis://:hunter2@broker:6379/0")
    answer = runner.invoke(app, ["config", "--format", output])
    assert answer.exit_code == 0
    assert "hunter2" not in answer.output
    assert "db/veritag" in answer.stdout


def test_config_as_toml_can_be_read_back(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The TOML form is a settings file with the same effect."""
    monkeypatch.setenv("VERITAG_CALLING_AE_TITLES", "CT1,MR 2")
    monkeypatch.setenv("VERITAG_SETTLE_IDLE_SECONDS", "7.5")
    before = load_settings()
    file = tmp_path / "veritag.toml"
    file.write_text(runner.invoke(app, ["config", "--format", "toml"]).stdout)
    monkeypatch.delenv("VERITAG_CALLING_AE_TITLES")
    monkeypatch.delenv("VERITAG_SETTLE_IDLE_SECONDS")
    monkeypatch.setenv("VERITAG_CONFIG", str(file))
    assert load_settings() == before


def test_config_warns_of_an_unknown_variable(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt variable is a warning on stderr, with the most similar real one."""
    monkeypatch.setenv("VERITAG_DICOM_PROT", "104")
    answer = runner.invoke(app, ["config"])
    assert "VERITAG_DICOM_PROT is not a setting" in answer.stderr
    assert "did you mean VERITAG_DICOM_PORT" in answer.stderr


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:p@ss@host:6379/0", "redis://:***@host:6379/0"),
        ("postgresql://u:a:b@h/db", "postgresql://u:***@h/db"),
        (
            "postgresql://h/db?password=x&sslmode=on",
            "postgresql://h/db?password=***&sslmode=on",
        ),
        ("sqlite:////data/records.sqlite3", "sqlite:////data/records.sqlite3"),
        ("redis+socket:///data/broker.sock", "redis+socket:///data/broker.sock"),
    ],
)
def test_only_passwords_are_hidden(url: str, shown: str) -> None:
    """Only the password of a URL is replaced."""
    assert hide_passwords(url) == shown


def test_status_has_the_promised_keys(app: typer.Typer, tmp_path: Path) -> None:
    """The JSON form has the keys that scripts rely on, and counts the spool."""
    settings = Settings(data_dir=tmp_path)
    records = Records.open(settings.records_url)
    records.migrate()
    records.close()
    (settings.spool_dir / "ready").mkdir(parents=True)
    (settings.spool_dir / "ready" / "one").touch()
    answer = runner.invoke(app, ["status", "--json", "--data", str(tmp_path)])
    found = json.loads(answer.stdout)
    assert found.keys() >= {
        "received",
        "indexed",
        "inspected",
        "dead_letters",
        "backlog",
        "oldest_unprocessed_seconds",
        "series_settled",
        "findings_open",
        "bundle_id",
    }
    assert (found["received"], found["indexed"]) == (1, 0)


def test_status_makes_no_records_where_there_are_none(
    app: typer.Typer, tmp_path: Path
) -> None:
    """`status` of a wrong directory is an error and creates no database."""
    answer = runner.invoke(app, ["status", "--data", str(tmp_path / "elsewhere")])
    assert answer.exit_code != 0
    assert "no records" in str(answer.exception)
    assert not (tmp_path / "elsewhere").exists()


def test_send_refuses_what_is_not_there(app: typer.Typer, tmp_path: Path) -> None:
    """A path that does not exist is a usage error."""
    answer = runner.invoke(app, ["send", "localhost", "104", str(tmp_path / "absent")])
    assert answer.exit_code == 2
