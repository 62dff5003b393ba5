"""Results of the benchmark, written after every part, so that a run can be resumed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from veritag.errors import ConfigurationError

RESULTS = "flagging.json"
FORMAT = 2
SINGLE, SERIES, LEFT_OUT, COST = "single", "series", "left-out", "cost"


class FlaggingStore:
    """Results by section and name in `flagging.json` of a folder.

    Raises
    ------
    ConfigurationError
        If the folder holds results of other images or settings.
    """

    def __init__(self, folder: Path, setup: Mapping[str, Any]) -> None:
        self.folder, self.setup = folder, dict(setup)
        folder.mkdir(parents=True, exist_ok=True)
        self.results = self._read()

    def has(self, section: str, name: str) -> bool:
        """Return whether a part is present."""
        return name in self.results.get(section, {})

    def add(self, section: str, name: str, result: Any) -> None:
        """Add a part, and write all results."""
        self.results.setdefault(section, {})[name] = result
        self.write()

    def of(self, section: str) -> dict[str, Any]:
        """Return name to result of a section, in the order in which they were added."""
        parts: dict[str, Any] = self.results.get(section, {})
        return parts

    def write(self) -> None:
        """Write all results; a reader sees either the old or the new ones."""
        content = {"format": FORMAT, "setup": self.setup, **self.results}
        path = self.folder / RESULTS
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(content), encoding="utf-8")
        partial.replace(path)

    def _read(self) -> dict[str, Any]:
        path = self.folder / RESULTS
        if not path.is_file():
            return {}
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            same = content.pop("format") == FORMAT
            same = content.pop("setup")["key"] == self.setup["key"] and same
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"{path} is not a result of this benchmark; choose another --out"
            ) from error
        if not same:
            raise ConfigurationError(
                f"{path} holds results on other images or settings; choose another "
                "--out, or give the same images and settings to resume"
            )
        return content
