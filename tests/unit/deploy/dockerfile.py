"""Reads a Dockerfile into its stages; enough for the one we write."""

import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Stage:
    """One `FROM` with the instructions below it.

    Attributes
    ----------
    parent
        Image or stage that it starts from.
    """

    name: str
    parent: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def last(self, keyword: str) -> str | None:
        """Return the arguments of the last such instruction, None if there is none."""
        arguments = [text for word, text in self.instructions if word == keyword]
        return arguments[-1] if arguments else None


def read_stages(path: Path) -> dict[str, Stage]:
    """Return the stages by name, in their order."""
    lines = [
        line
        for line in path.read_text("utf-8").splitlines()
        if not line.lstrip().startswith("#")
    ]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    stages: dict[str, Stage] = {}
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, text = line.partition(" ")
        if word == "FROM":
            parent, _, name = text.partition(" AS ")
            stages[name] = stage = Stage(name, parent)
        elif stages:
            stage.instructions.append((word, text))
    return stages
