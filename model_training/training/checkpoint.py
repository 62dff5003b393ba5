"""Checkpoint file of a training run, written after each pass."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from veritag.errors import StopError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The checkpoint file of one run.

    Attributes
    ----------
    key
        Identifies configuration and images; the file of another run is not used.
    """

    path: Path
    key: str

    def load(self) -> dict[str, Any] | None:
        """Return the state saved last, None without a readable one of this run."""
        if not self.path.is_file():
            return None
        try:
            # weights_only: unpickling anything but tensors and numbers could run code.
            state: dict[str, Any] = torch.load(
                self.path, weights_only=True, map_location="cpu"
            )
            return state if state["key"] == self.key else None
        except Exception as error:  # noqa: BLE001 -- a torn file raises almost anything
            log.warning(
                "%s is not a readable checkpoint, training from the start: %s",
                self.path,
                error,
            )
            return None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file; after a crash the old or the new one is there.

        Raises
        ------
        StopError
            If it cannot be written, a full disk for example.
        """
        partial = self.path.with_name(f".{self.path.name}.part")
        try:
            with partial.open("wb") as file:
                torch.save({**state, "key": self.key}, file)
                file.flush()
                # Synced before the rename: the name never refers to unwritten content.
                os.fsync(file.fileno())
            partial.replace(self.path)
        except (OSError, RuntimeError) as error:
            partial.unlink(missing_ok=True)
            raise StopError(
                f"{self.path}: no checkpoint could be written: {error}"
            ) from error

    def discard(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
