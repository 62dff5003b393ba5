"""The way from the spool into archive and records."""

from typing import Annotated, ClassVar

from pydantic import Field

from veritag.settings.field_types import Seconds, Section


class IndexerSettings(Section):
    """The way from the spool into archive and records."""

    title: ClassVar[str] = "Indexer"

    linger_seconds: Annotated[float, Field(ge=0, le=5)] = Field(
        0.25,
        description="Longest wait for more instances before a message is published.",
    )
    index_poll_seconds: Seconds = Field(
        0.1, description="How often the indexer looks into the spool."
    )
