"""Recording of file operations of a process, and what a power cut leaves of them.

The page cache is modeled pessimistically, as POSIX allows: content of a file is durable
only if it was fsynced, and a name in a folder only if it was there when the folder was
fsynced and has stayed since. Anything else may or may not have reached the disk.
"""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.real_parts import outside, require

_SOURCE = Path(__file__).with_name("steps.c")
KILLED = -9


class Step(NamedTuple):
    """One step: what was done to which file.

    Attributes
    ----------
    other
        The new name, of a rename or link.
    """

    name: str
    inode: int
    path: str
    other: str


@dataclass
class Recorder:
    """Starts processes with the shim that records their file operations.

    Parameters
    ----------
    under
        The folder that is looked at.
    """

    shim: Path
    log: Path
    under: Path

    def environment(self, kill_at: int = 0) -> dict[str, str]:
        """Return the environment of a process; with 0 it is not killed."""
        return {
            "LD_PRELOAD": str(self.shim),
            "VERITAG_TEST_STEPS": str(self.log),
            "VERITAG_TEST_UNDER": str(self.under),
            "VERITAG_TEST_KILL_AT": str(kill_at),
        }

    def start(
        self, *arguments: str, settings: Mapping[str, str], kill_at: int = 0
    ) -> "subprocess.Popen[bytes]":
        """Start a module as a process; its log lies beside the recorded steps."""
        with self.log.with_suffix(".err").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env={**outside(), **self.environment(kill_at), **settings},
                stdout=log,
                stderr=log,
            )

    def mark(self, name: str, about: str) -> None:
        """Write a marker line between the steps."""
        file = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(file, f"{name}\t0\t{about}\t\n".encode())
        os.close(file)

    def steps(self) -> list[Step]:
        """Return the steps recorded so far."""
        if not self.log.exists():
            return []
        lines = self.log.read_text("utf-8").splitlines()
        parts = [line.split("\t") for line in lines]
        return [Step(name, int(inode), a, b) for name, inode, a, b in parts]


def compile_recorder(folder: Path) -> Path:
    """Compile the shim, or skip (in CI: fail) without a C compiler."""
    compiler = shutil.which("cc")
    require(compiler and sys.platform == "linux", "no C compiler cc on Linux")
    shim = folder / "steps.so"
    flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(shim)]
    subprocess.run([str(compiler), *flags, str(_SOURCE), "-ldl"], check=True)
    return shim


@dataclass
class PageCache:
    """Names and contents as processes see them, and as they are durable on disk.

    Parameters
    ----------
    under
        A folder that is on the disk itself.
    """

    under: str
    now: dict[str, int] = field(default_factory=dict)
    disk: dict[str, int] = field(default_factory=dict)
    _writes: Counter[int] = field(default_factory=Counter)
    _safe: dict[int, int] = field(default_factory=dict)
    _begun: dict[int, tuple[int, dict[str, int]]] = field(default_factory=dict)

    def hold(self, paths: Iterable[Path]) -> None:
        """Add files and folders that are durable at the beginning."""
        for path in paths:
            self.now[str(path)] = self.disk[str(path)] = path.stat().st_ino

    def take(self, step: Step) -> None:
        """Apply a step."""
        act = getattr(self, f"_{step.name.replace(' ', '_')}", None)
        if act is not None:
            act(step)

    def is_whole(self, inode: int) -> bool:
        """Return whether all content of a file is durable."""
        return self._safe.get(inode, 0) == self._writes[inode]

    def surely_has(self, path: str) -> bool:
        """Return whether a file and its content survive a power cut."""
        inode = self.now.get(path)
        if inode is None or not self.is_whole(inode):
            return False
        return all(self.now.get(p) == self.disk.get(p) for p in self._way_to(path))

    def _way_to(self, path: str) -> Iterator[str]:
        while len(path) > len(self.under):
            yield path
            path = _folder(path)

    def _created(self, step: Step) -> None:
        self.now[step.path] = step.inode
        self._writes[step.inode] = self._safe[step.inode] = 0

    def _written(self, step: Step) -> None:
        self._writes[step.inode] += 1

    def _renamed(self, step: Step) -> None:
        self.now[step.other] = self.now.pop(step.path, step.inode)

    def _linked(self, step: Step) -> None:
        self.now[step.other] = step.inode

    def _unlinked(self, step: Step) -> None:
        self.now.pop(step.path, None)

    def _syncing(self, step: Step) -> None:
        inside = {p: i for p, i in self.now.items() if _folder(p) == step.path}
        self._begun[step.inode] = self._writes[step.inode], inside

    def _synced(self, step: Step) -> None:
        writes, inside = self._begun.pop(step.inode)
        self._safe[step.inode] = writes
        gone = [p for p in self.disk if _folder(p) == step.path]
        for path in gone:
            del self.disk[path]
        self.disk |= inside

    def _all_synced(self, _step: Step) -> None:
        self.disk = dict(self.now)
        self._safe = dict(self._writes)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
