"""Pictures of the report, as HTML images that can be read without color."""

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
SILENT = ("rules only", "isolation forest, our embedding")
"""Methods whose scores are no probabilities: they are left out of that diagram."""


def precision_recall(
    panels: Mapping[str, Mapping[str, Sequence[Sequence[float]]]],
) -> str:
    """Return precision against recall, a panel for each title, a line for each method."""
    figure, axes = _figure(len(panels))
    for axis, (title, curves) in zip(axes, panels.items(), strict=True):
        looks = cycle(LINES)
        for name, points in curves.items():
            ours = name == OURS
            # Up to the first score precision is that of the values with that score.
            drawn = [[0.0, points[0][1]], *points] if points else []
            axis.plot(
                [p[0] for p in drawn],
                [p[1] for p in drawn],
                linestyle="-" if ours else next(looks),
                linewidth=2.4 if ours else 1.2,
                color="black" if ours else None,
                label=name,
            )
        _label(axis, title, "recall", "precision")
        axis.set_ylim(0, 1.02)
    axes[0].legend(fontsize=7, loc="lower left")
    return _image(figure, "precision against recall")


def reliability_diagram(
    panels: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]],
) -> str:
    """Return the share of wrong values against the probability told of them."""
    figure, axes = _figure(len(panels))
    for axis, (title, methods) in zip(axes, panels.items(), strict=True):
        axis.plot([0, 1], [0, 1], color="gray", linewidth=0.8)
        marks = cycle(MARKERS)
        for name, bins in methods.items():
            if name not in SILENT and bins:
                axis.plot(
                    [b["probability"] for b in bins],
                    [b["wrong"] for b in bins],
                    marker=next(marks),
                    markersize=4,
                    linewidth=2.0 if name == OURS else 0.8,
                    color="black" if name == OURS else None,
                    label=name,
                )
        _label(axis, title, "probability told", "share that is wrong")
    axes[0].legend(fontsize=7, loc="upper left")
    return _image(figure, "reliability diagram")


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


def _image(figure: "Figure", text: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{text}" src="data:image/png;base64,{data}">'
