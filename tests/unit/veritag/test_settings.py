"""Settings from variables, one TOML file and defaults."""

from pathlib import Path

import pytest

from veritag.errors import ConfigurationError
from veritag.settings import Settings, load_settings


def test_defaults_are_those_of_the_documentation() -> None:
    """A fresh install listens on 11112 as VERITAG and reviews on loopback 8080."""
    settings = load_settings()
    assert (settings.dicom_port, settings.ae_title) == (11112, "VERITAG")
    assert (settings.review_host, settings.review_port) == ("127.0.0.1", 8080)


def test_a_variable_goes_over_the_file_and_the_file_over_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One TOML file serves all processes; a container overrides single settings."""
    (tmp_path / "veritag.toml").write_text('ae_title = "FILE"\ndicom_port = 4242\n')
    monkeypatch.setenv("VERITAG_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("VERITAG_AE_TITLE", "ENV")
    settings = load_settings()
    assert (settings.ae_title, settings.dicom_port) == ("ENV", 4242)


def test_lists_are_read_from_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """`A, B` in a variable is a list of two AE titles."""
    monkeypatch.setenv("VERITAG_CALLING_AE_TITLES", "CT1, MR2")
    assert load_settings().calling_ae_titles == ("CT1", "MR2")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VERITAG_DICOM_PORT", "70000"),
        ("VERITAG_AE_TITLE", "LONGER_THAN_SIXTEEN"),
        ("VERITAG_SETTLE_IDLE_SECONDS", "soon"),
        ("VERITAG_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the variable."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        load_settings()


@pytest.mark.parametrize("text", ["ae_titel = 'X'", "ae_title = "])
def test_a_misspelt_key_or_broken_file_is_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown key in the file is an error, as is bad TOML."""
    file = tmp_path / "site.toml"
    file.write_text(text)
    monkeypatch.setenv("VERITAG_CONFIG", str(file))
    with pytest.raises(ConfigurationError):
        load_settings()


def test_a_named_file_that_is_missing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing file that VERITAG_CONFIG names is an error, not a run on defaults."""
    monkeypatch.setenv("VERITAG_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigurationError, match=r"none\.toml"):
        load_settings()


def test_every_setting_says_what_it_is() -> None:
    """Each field has a description for the documentation and `veritag config`."""
    silent = [n for n, f in Settings.model_fields.items() if not f.description]
    assert silent == []


def test_secrets_do_not_show_when_settings_are_printed() -> None:
    """A URL with a password is hidden in repr."""
    settings = load_settings(database_url="postgresql://u:hunter2@h/db")
    assert "hunter2" not in repr(settings)
    assert settings.records_url == "postgresql://u:hunter2@h/db"
