"""A training run on disk after each pass, so that an interrupted one goes on."""

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
    """The file of a run.

    Attributes
    ----------
    key
        Of configuration and images; another run's file is left alone and not used.
    """

    path: Path
    key: str

    def load(self) -> dict[str, Any] | None:
        """Return the state that was saved last, None without one of this run.

        A file that cannot be read is as good as none: the run begins anew.
        """
        if not self.path.is_file():
            return None
        try:
            # Tensors and numbers only: whatever lies there, no code of it is run.
            state: dict[str, Any] = torch.load(
                self.path, weights_only=True, map_location="cpu"
            )
            return state if state["key"] == self.key else None
        except Exception as error:  # noqa: BLE001 -- torn bytes raise almost anything
            log.warning("%s is no checkpoint, training anew: %s", self.path, error)
            return None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file; a crash leaves the old one or the new one.

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
                os.fsync(file.fileno())
            partial.replace(self.path)
        except (OSError, RuntimeError) as error:
            partial.unlink(missing_ok=True)
            raise StopError(
                f"{self.path}: no checkpoint could be written: {error}"
            ) from error

    def discard(self) -> None:
        """Remove the file of a run that is done."""
        self.path.unlink(missing_ok=True)
