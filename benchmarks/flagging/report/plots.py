"""Plots of the report as data URIs, readable without color."""

import base64
import io
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

from benchmarks.flagging.models import OURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 110
LINES = ("--", ":", "-.", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)))
MARKERS = "osD^v<>P"
WITHOUT_PROBABILITIES = ("rules only", "isolation forest, our embedding")
"""Methods whose scores are not probabilities; not in the reliability diagram."""


def precision_recall(
    panels: Mapping[str, Mapping[str, Sequence[Sequence[float]]]],
) -> str:
    """Return precision against recall: a panel for each title, a line for each method."""
    figure, axes = _figure(len(panels))
    for axis, (title, curves) in zip(axes, panels.items(), strict=True):
        styles = cycle(LINES)
        for name, points in curves.items():
            ours = name == OURS
            # From recall 0 to the first point, precision is that of the first point.
            line = [[0.0, points[0][1]], *points] if points else []
            axis.plot(
                [p[0] for p in line],
                [p[1] for p in line],
                linestyle="-" if ours else next(styles),
                linewidth=2.4 if ours else 1.2,
                color="black" if ours else None,
                label=name,
            )
        _label(axis, title, "recall", "precision")
        axis.set_ylim(0, 1.02)
    axes[0].legend(fontsize=7, loc="lower left")
    return _data_uri(figure)


def reliability_diagram(
    panels: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]],
) -> str:
    """Return the share of wrong values against their predicted probability."""
    figure, axes = _figure(len(panels))
    for axis, (title, methods) in zip(axes, panels.items(), strict=True):
        axis.plot([0, 1], [0, 1], color="gray", linewidth=0.8)
        markers = cycle(MARKERS)
        for name, bins in methods.items():
            if name not in WITHOUT_PROBABILITIES and bins:
                axis.plot(
                    [b["probability"] for b in bins],
                    [b["wrong"] for b in bins],
                    marker=next(markers),
                    markersize=4,
                    linewidth=2.0 if name == OURS else 0.8,
                    color="black" if name == OURS else None,
                    label=name,
                )
        _label(axis, title, "predicted probability", "share that is wrong")
    axes[0].legend(fontsize=7, loc="upper left")
    return _data_uri(figure)


def _label(axis: "Axes", title: str, xlabel: str, ylabel: str) -> None:
    axis.set_title(title, fontsize=10)
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    axis.grid(alpha=0.3)


def _figure(columns: int) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(5.6 * columns, 4.4), dpi=DOTS_PER_INCH, layout="constrained"
    )
    axes = figure.subplots(1, columns, squeeze=False)
    return figure, list(axes[0])


def _data_uri(figure: "Figure") -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/png;base64,{data}"
