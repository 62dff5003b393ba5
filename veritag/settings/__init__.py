"""Settings of every process: one module per process or theme, and the model of all."""

from veritag.settings.field_types import NEVER
from veritag.settings.settings import SECTIONS, Settings, config_file, load_settings

__all__ = ["NEVER", "SECTIONS", "Settings", "config_file", "load_settings"]
