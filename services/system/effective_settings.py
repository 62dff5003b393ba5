"""`veritag config`: all settings with their values and the sources of these."""

import difflib
import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from veritag.peers.peer import Peer
from veritag.settings import SECTIONS, Settings, config_file

_PREFIX = "VERITAG_"
_NOT_SETTINGS = {"VERITAG_CONFIG"}
_HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """One effective setting.

    Attributes
    ----------
    source
        `environment`, `file` or `default`.
    """

    name: str
    value: Any
    source: str
    default: Any
    description: str

    @property
    def variable(self) -> str:
        """Name of its environment variable."""
        return _PREFIX + self.name.upper()


def effective_settings(settings: Settings) -> list[EffectiveSetting]:
    """Return all settings, in the order of the sections."""
    in_file = _file_content()
    return [
        EffectiveSetting(
            name,
            _as_json_value(getattr(settings, name)),
            _source(name, in_file),
            _as_json_value(field.get_default(call_default_factory=False)),
            field.description or "",
        )
        for section in SECTIONS
        for name, field in section.model_fields.items()
    ]


def _file_content() -> Mapping[str, Any]:
    path = config_file()
    return tomllib.loads(path.read_text(encoding="utf-8")) if path else {}


def _source(name: str, in_file: Mapping[str, Any]) -> str:
    if os.environ.get(_PREFIX + name.upper()):
        return "environment"
    return "file" if name in in_file else "default"


def _as_json_value(value: Any) -> Any:
    """Return a value as JSON data, without passwords."""
    if isinstance(value, SecretStr):
        return hide_passwords(value.get_secret_value())
    if isinstance(value, (Path, Peer)):
        return str(value)
    if isinstance(value, tuple):
        return [_as_json_value(item) for item in value]
    return hide_passwords(value) if isinstance(value, str) else value


def hide_passwords(text: str) -> str:
    """Replace passwords in a URL: those before the host and in the query."""
    text = re.sub(r"(://[^:@/?#]*):.*@", rf"\1:{_HIDDEN}@", text)
    return re.sub(
        r"(?i)([?&][^=&]*(?:password|secret|token|key)[^=&]*=)[^&]*",
        rf"\1{_HIDDEN}",
        text,
    )


def unknown_variables() -> Iterator[tuple[str, str | None]]:
    """Yield unknown `VERITAG_*` variables, each with the most similar known one."""
    known = {_PREFIX + name.upper() for name in Settings.model_fields} | _NOT_SETTINGS
    for name in sorted(os.environ):
        if name.startswith(_PREFIX) and name.upper() not in known:
            yield name, next(iter(difflib.get_close_matches(name, known, 1)), None)


def _as_table(settings: Sequence[EffectiveSetting]) -> None:
    table = Table("setting", "value", "from", "default", "meaning")
    table.columns[0].no_wrap = True
    for setting in settings:
        style = "" if setting.source == "default" else "bold"
        table.add_row(
            setting.variable,
            escape(_text(setting.value)),
            setting.source,
            escape(_text(setting.default)),
            escape(setting.description),
            style=style,
        )
    # A pipe has no width: long lines are not wrapped, so that grep finds them.
    Console(width=None if sys.stdout.isatty() else 240).print(table)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _as_json(settings: Sequence[EffectiveSetting]) -> None:
    rows = [{"variable": s.variable, **asdict(s)} for s in settings]
    sys.stdout.write(json.dumps(rows, indent=1) + "\n")


def _as_toml(settings: Sequence[EffectiveSetting]) -> None:
    """Print a TOML file for `VERITAG_CONFIG`; lines with hidden values are comments."""
    for setting in settings:
        value = setting.value
        comment = "# " if value is None or _HIDDEN in str(value) else ""
        text = json.dumps("" if value is None else value, ensure_ascii=False)
        sys.stdout.write(
            f"# {setting.description}\n{comment}{setting.name} = {text}\n\n"
        )


FORMATS: dict[str, Callable[[Sequence[EffectiveSetting]], None]] = {
    "table": _as_table,
    "json": _as_json,
    "toml": _as_toml,
}
