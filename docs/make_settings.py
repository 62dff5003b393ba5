"""Writes `docs/settings.md` from the settings themselves; a test keeps it up to date.

python docs/make_settings.py
"""  # noqa: INP001 - a script beside the page that it writes

from pathlib import Path

from pydantic.fields import FieldInfo

from veritag.settings import SECTIONS
from veritag.settings.field_types import Section

PAGE = Path(__file__).with_name("settings.md")

HEAD = """\
# Settings

Written by `python docs/make_settings.py` from `veritag/settings/`.

Each setting is a variable of the environment, or a key of one TOML file under its name
without `VERITAG_` in small letters (`dicom_port = 11112`). A variable wins over the
file, the file over the default. The file is the one that `VERITAG_CONFIG` names, else
`veritag.toml` in the data directory.

Everything is checked when a process starts: a wrong value or an unknown key stops it
with one line that says which. `veritag config` prints what is in use and where it comes
from, with passwords hidden. Lists are separated by commas in variables, and are arrays in TOML.
A yes or no is `1` or `0` in variables, `true` or `false` in TOML.
"""

TABLE_HEAD = """\
| variable | default | meaning |
|---|---|---|
"""


def _default(value: object) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return f"`{int(value)}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value}`"


def _section(section: type[Section]) -> str:
    rows = "".join(_row(name, field) for name, field in section.model_fields.items())
    return f"\n## {section.title}\n\n{TABLE_HEAD}{rows}"


def _row(name: str, field: FieldInfo) -> str:
    description = (field.description or "").replace("|", r"\|")
    return f"| `VERITAG_{name.upper()}` | {_default(field.default)} | {description} |\n"


def settings_page() -> str:
    """Return the text of the page."""
    return HEAD + "".join(map(_section, SECTIONS))


if __name__ == "__main__":
    PAGE.write_text(settings_page(), encoding="utf-8")
