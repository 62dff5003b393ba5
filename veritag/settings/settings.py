"""The effective settings: `VERITAG_*` variables over one TOML file over defaults.

The TOML file is named by `VERITAG_CONFIG`, else `veritag.toml` in the data directory
where there is one. Everything is validated at start; an unknown key is an error.
"""

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from veritag.errors import ConfigurationError
from veritag.settings.audit import AuditSettings
from veritag.settings.connections import ConnectionSettings
from veritag.settings.data_directory import DEFAULT_DATA_DIR, DataDirectorySettings
from veritag.settings.delivery import DeliverySettings
from veritag.settings.field_types import Section
from veritag.settings.indexer import IndexerSettings
from veritag.settings.listener import ListenerSettings
from veritag.settings.monitoring import MonitoringSettings
from veritag.settings.review import ReviewSettings
from veritag.settings.scheduler import SchedulerSettings
from veritag.settings.training import TrainingSettings
from veritag.settings.worker import WorkerSettings
from veritag.terms.lexicon import use_lexicon
from veritag.terms.site_spellings import read_site_spellings


def config_file() -> Path | None:
    """Return the TOML file in use, None where there is none."""
    named = os.environ.get("VERITAG_CONFIG")
    if named:
        return Path(named)
    default = (
        Path(os.environ.get("VERITAG_DATA_DIR", DEFAULT_DATA_DIR)) / "veritag.toml"
    )
    return default if default.is_file() else None


class Settings(
    DataDirectorySettings,
    ListenerSettings,
    AuditSettings,
    IndexerSettings,
    DeliverySettings,
    ConnectionSettings,
    WorkerSettings,
    SchedulerSettings,
    TrainingSettings,
    ReviewSettings,
    MonitoringSettings,
    BaseSettings,
):
    """Every setting with its unit and default, and the paths that follow from them."""

    # Empty variables are ignored: Compose passes those that are not set as empty ones.
    model_config = SettingsConfigDict(
        env_prefix="VERITAG_", frozen=True, extra="forbid", env_ignore_empty=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the environment over the TOML file; no .env, no secrets folder."""
        toml = TomlConfigSettingsSource(settings_cls, toml_file=config_file())
        return init_settings, env_settings, toml

    @property
    def spool_dir(self) -> Path:
        """Folder of received, not yet indexed instances."""
        return self.data_dir / "spool"

    @property
    def archive_dir(self) -> Path:
        """Folder of indexed instances."""
        return self.data_dir / "archive"

    @property
    def pictures_dir(self) -> Path:
        """Folder of small pictures of what the archive no longer holds."""
        return self.data_dir / "pictures"

    @property
    def bundles_dir(self) -> Path:
        """Folder of bundles, or the one bundle that `bundle_dir` names."""
        return self.bundle_dir or self.data_dir / "bundles"

    @property
    def reference_dir(self) -> Path:
        """Folder of the images on which bundles are compared."""
        return self.data_dir / "reference"

    @property
    def sqlite_file(self) -> Path:
        """File of the records where no database URL is set."""
        return self.data_dir / "records.sqlite3"

    @property
    def records_url(self) -> str:
        """SQLAlchemy URL of the records."""
        if self.database_url:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.sqlite_file.absolute()}"

    @property
    def has_records(self) -> bool:
        """Whether there are records: a database URL, or a file of SQLite."""
        return self.database_url is not None or self.sqlite_file.is_file()

    @property
    def message_broker_url(self) -> str:
        """URL of the broker; the private one listens on a socket in the data directory."""
        if self.broker_url:
            return self.broker_url.get_secret_value()
        return f"redis+socket://{(self.data_dir / 'broker' / 'broker.sock').absolute()}"


SECTIONS: tuple[type[Section], ...] = (
    DataDirectorySettings,
    ListenerSettings,
    AuditSettings,
    IndexerSettings,
    DeliverySettings,
    ConnectionSettings,
    WorkerSettings,
    SchedulerSettings,
    TrainingSettings,
    ReviewSettings,
    MonitoringSettings,
)
"""The parts of the settings in the order of documentation and `veritag config`."""


def load_settings(**overrides: Any) -> Settings:
    """Return the validated settings, and apply the site's spellings of body parts.

    Raises
    ------
    ConfigurationError
        With one line per wrong setting: its name and what is wrong.
    """
    named = config_file()
    if named is not None and not named.is_file():
        raise ConfigurationError(f"VERITAG_CONFIG names {named}, which is not a file")
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        lines = [
            f"VERITAG_{'.'.join(str(p) for p in e['loc']).upper()}: {e['msg']}"
            for e in error.errors(include_input=False)
        ]
        raise ConfigurationError("\n".join(lines)) from None
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"{named}: {error}") from error
    # Applied here because every process that reads tags loads the settings first.
    use_lexicon(read_site_spellings(settings.body_parts_file))
    return settings
