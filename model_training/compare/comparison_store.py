"""Results of a comparison, written after every cell, so that an interrupted one continues."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.compare.cell import Cell
from model_training.compare.methods.run_cell import CellOutcome
from veritag.errors import ConfigurationError

Points = tuple[NDArray[np.intp], NDArray[np.float64]]
"""Rows of a sample, and their points in the plane, (n, 2)."""

RESULTS = "compare.json"
EMBEDDINGS = "embeddings"
FORMAT = 1


class ComparisonStore:
    """Results by cell in `compare.json` of a folder, and some embeddings beside it.

    Raises
    ------
    ConfigurationError
        If the folder holds results of other images, or something else by that name.
    """

    def __init__(self, folder: Path, setup: Mapping[str, Any]) -> None:
        self.folder = folder
        self.setup = dict(setup)
        folder.mkdir(parents=True, exist_ok=True)
        self.cells = self._read()

    def __contains__(self, cell: Cell) -> bool:
        """Tell whether there is a result of this cell with the same settings."""
        return self.cells.get(cell.key, {}).get("digest") == cell.digest()

    def add(self, cell: Cell, result: Mapping[str, Any]) -> None:
        """Add the result of a cell and write all."""
        place = {"sweep": cell.sweep, "row": cell.row, "seed": cell.seed}
        swept = {"x": cell.x, "labelled": cell.labelled}
        self.cells[cell.key] = {**place, **swept, **result}
        self.write()

    def write(self) -> None:
        """Write all results; a reader sees the old file or the new one."""
        content = {"format": FORMAT, "setup": self.setup, "cells": self.cells}
        path = self.folder / RESULTS
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
        # Renamed when complete: an interrupted run leaves readable results.
        partial.replace(path)

    def of(self, sweep: str) -> list[dict[str, Any]]:
        """Return the results of a sweep without failures, in the order of the runs."""
        return [
            cell
            for cell in self.cells.values()
            if cell["sweep"] == sweep and "parts" in cell
        ]

    def failed(self, sweep: str | None = None) -> Iterator[tuple[dict[str, Any], str]]:
        """Yield each cell that failed, of one sweep or of all, and why."""
        for cell in self.cells.values():
            if "failed" in cell and sweep in (None, cell["sweep"]):
                yield cell, str(cell["failed"])

    def keep_embedding(self, row: str, outcome: CellOutcome) -> None:
        """Write embedding and labels of the unseen images, for plots."""
        path = self._embedding(row)
        path.parent.mkdir(exist_ok=True)
        centers = outcome.centers
        np.savez_compressed(
            path,
            embedding=outcome.embedding.astype(np.float32),
            labels=outcome.labels,
            centers=np.empty((0, 0)) if centers is None else centers,
        )

    def points(self, row: str, make: Callable[[], Points] | None) -> Points | None:
        """Return points in the plane, made once from the stored embedding.

        None without `make` where no points are stored.
        """
        path, source = (
            self._embedding(row).with_suffix(".tsne.npz"),
            self._embedding(row),
        )
        # Points older than the embedding are of an earlier run.
        if path.is_file() and path.stat().st_mtime_ns >= source.stat().st_mtime_ns:
            with np.load(path, allow_pickle=False) as stored:
                return stored["rows"], stored["points"]
        if make is None:
            return None
        rows, points = make()
        np.savez_compressed(path, rows=rows, points=points)
        return rows, points

    def embedding(self, row: str) -> CellOutcome | None:
        """Return the stored outcome of a method, None without one."""
        path = self._embedding(row)
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as stored:
            centers: NDArray[np.float64] = stored["centers"]
            return CellOutcome(
                stored["embedding"].astype(np.float64), stored["labels"], centers
            )

    def _embedding(self, row: str) -> Path:
        name = "".join(c if c.isalnum() else "-" for c in row)
        return self.folder / EMBEDDINGS / f"{name}.npz"

    def _read(self) -> dict[str, dict[str, Any]]:
        path = self.folder / RESULTS
        if not path.is_file():
            return {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            same = content["format"] == FORMAT
            same = same and content["setup"]["images"] == self.setup["images"]
            cells: dict[str, dict[str, Any]] = content["cells"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{path} is not a result of a comparison; choose another --out"
            ) from error
        if not same:
            raise ConfigurationError(
                f"{path} holds results on other images or tiles; choose another --out, "
                "or give the same --images, --size and --limit to continue"
            )
        return cells
