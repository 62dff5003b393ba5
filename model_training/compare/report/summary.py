"""Means and standard deviations over seeds, by method and by varied setting."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

COLUMNS: Mapping[str, str] = {
    "nmi_region": "NMI region",
    "nmi_modality": "NMI modality",
    "hs_region": "HS region",
    "hs_modality": "HS modality",
    "ari_region": "ARI region",
    "ari_modality": "ARI modality",
    "acc_region": "Acc. region",
    "acc_modality": "Acc. modality",
    "silhouette": "Silhouette",
    "clusters": "Clusters",
}
"""Figure to its heading."""
UNRANKED = {"clusters"}
"""Figures of which no value is the best."""

NAMES: Mapping[str, str] = {
    "dec": "DEC",
    "idec": "IDEC, convolutional",
    "paper": "proposed, paper's setting",
    "paper, its own pairs": "proposed, paper's setting and pairs",
    "constrained": "proposed, pure pairs from the start",
    "veritag": "veritag (default)",
}
"""Row to its name in the report."""


@dataclass(frozen=True, slots=True)
class SeedFigure:
    """Mean and standard deviation over seeds."""

    mean: float
    spread: float
    seeds: int

    def shown(self, column: str) -> str:
        """Return the figure as text: counts with one digit, shares with three."""
        digits = 1 if column in UNRANKED else 3
        text = f"{self.mean:.{digits}f}"
        return f"{text} ±{self.spread:.{digits}f}" if self.seeds > 1 else text


Row = Mapping[str, SeedFigure]


def figure_of(values: Sequence[float]) -> SeedFigure:
    """Return mean and sample standard deviation of values."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return SeedFigure(float(np.mean(values)), spread, len(values))


def rows_of(cells: Iterable[Mapping[str, Any]], part: str = "all") -> dict[str, Row]:
    """Return the figures of each method, over seeds, in the order of the cells."""
    grouped: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for cell in cells:
        if part in cell["parts"]:
            grouped[cell["row"]].append(cell["parts"][part])
    return {row: _mean(figures) for row, figures in grouped.items()}


def series_of(
    cells: Iterable[Mapping[str, Any]], part: str = "all"
) -> dict[str, dict[float, Row]]:
    """Return the figures over seeds, by method, then by value of the varied setting."""
    grouped: defaultdict[tuple[str, float], list[Mapping[str, Any]]] = defaultdict(list)
    for cell in cells:
        name = label(cell["row"])
        if cell["labelled"] < 1:
            name += f", {cell['labelled']:.0%} labelled"
        if part in cell["parts"] and cell["x"] is not None:
            grouped[name, cell["x"]].append(cell["parts"][part])
    result: defaultdict[str, dict[float, Row]] = defaultdict(dict)
    for (name, x), figures in grouped.items():
        result[name][x] = _mean(figures)
    return dict(result)


def label(row: str) -> str:
    """Return the name of a row in the report."""
    return NAMES.get(row, row)


def best(rows: Mapping[str, Row]) -> dict[str, str]:
    """Return figure to the row with the highest mean."""
    result = {}
    for column in COLUMNS:
        means = {row: f[column].mean for row, f in rows.items() if column in f}
        if means and column not in UNRANKED:
            result[column] = max(means, key=lambda row: means[row])
    return result


def _mean(seeds: Sequence[Mapping[str, Any]]) -> Row:
    figures = {}
    for column in COLUMNS:
        values = [f[column] for f in seeds if f.get(column) is not None]
        if values:
            figures[column] = figure_of(values)
    return figures
