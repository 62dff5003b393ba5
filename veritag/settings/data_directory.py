"""The data directory."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from veritag.settings.field_types import Section

DEFAULT_DATA_DIR = Path("veritag-data")


class DataDirectorySettings(Section):
    """The data directory."""

    title: ClassVar[str] = "Data directory"

    data_dir: Path = Field(
        DEFAULT_DATA_DIR,
        description="Spool, archive, SQLite records, private broker, bundles.",
    )
