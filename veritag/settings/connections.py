"""Database of the records and message broker."""

from typing import ClassVar

from pydantic import Field, SecretStr

from veritag.settings.field_types import Section


class ConnectionSettings(Section):
    """Database of the records and message broker."""

    title: ClassVar[str] = "Database and broker"

    database_url: SecretStr | None = Field(
        None,
        description="SQLAlchemy URL of the records; default: SQLite in the data directory.",
    )
    broker_url: SecretStr | None = Field(
        None,
        description="URL of the Celery broker; default: the private broker of `veritag up`.",
    )
    visibility_timeout_seconds: int = Field(
        600,
        ge=30,
        description="Time after which Redis delivers an unacknowledged message again.",
    )
