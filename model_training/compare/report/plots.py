"""Plots and tiles of the report, as PNG; all can be read without color."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from model_training.compare.report.summary import COLUMNS, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Strings = NDArray[np.str_]

MARKERS = "osD^v<>PX*hpd8"
LINES = ("-", "--", ":", "-.")
DOTS_PER_INCH = 110
MOST_NAMED = 40
TSNE_IMAGES = 1_500


@dataclass(frozen=True, slots=True)
class PagePicture:
    """A PNG as data URI, and the text that stands for it."""

    uri: str
    text: str


def line_plot(
    series: Mapping[str, Mapping[float, Row]],
    columns: Sequence[str],
    *,
    xlabel: str,
    log: bool = False,
) -> PagePicture:
    """Return plots side by side, one of each figure against what is varied."""
    figure, axes = _figure(len(columns), 5.2, 3.6)
    for axis, column in zip(axes, columns, strict=True):
        looks = zip(cycle(MARKERS), cycle(LINES), strict=False)
        for (name, points), (marker, line) in zip(series.items(), looks, strict=False):
            xs = sorted(x for x in points if column in points[x])
            ys = [points[x][column].mean for x in xs]
            spread = [points[x][column].spread for x in xs]
            axis.errorbar(
                xs, ys, spread, marker=marker, linestyle=line, label=name, capsize=2
            )
        if log:
            axis.set_xscale("symlog", linthresh=0.1)
        axis.set_xlabel(xlabel)
        axis.set_ylabel(COLUMNS[column])
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=7)
    return _plot(figure, f"{xlabel} against {', '.join(COLUMNS[c] for c in columns)}")


def bar_plot(rows: Mapping[str, Row], columns: Sequence[str]) -> PagePicture:
    """Return horizontal bars of each figure, with the numbers at their ends."""
    figure, axes = _figure(len(columns), 5.2, 0.32 * len(rows) + 0.9)
    names = list(rows)[::-1]
    for axis, column in zip(axes, columns, strict=True):
        figures = [rows[name].get(column) for name in names]
        means = [f.mean if f else 0.0 for f in figures]
        bars = axis.barh(names, means, xerr=[f.spread if f else 0.0 for f in figures])
        axis.bar_label(bars, [f"{m:.3f}" for m in means], padding=3, fontsize=7)
        axis.set_xlim(0, max([*means, 0.01]) * 1.18)
        axis.set_xlabel(COLUMNS[column])
        axis.tick_params(labelsize=7)
    return _plot(figure, "bars of " + ", ".join(COLUMNS[c] for c in columns))


def tsne_points(embedding: Floats, seed: int = 0) -> tuple[NDArray[np.intp], Floats]:
    """Return rows of a sample of embeddings (N, D), and their place in the plane."""
    from sklearn.manifold import TSNE

    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(embedding))[:TSNE_IMAGES])
    perplexity = min(30.0, max(2.0, (len(rows) - 1) / 4))
    model = TSNE(perplexity=perplexity, init="pca", random_state=seed)
    return rows, model.fit_transform(embedding[rows]).astype(np.float64)


def scatter_plot(points: Floats, truths: Mapping[str, Strings]) -> PagePicture:
    """Return points (N, 2) once for each truth, with a mark and a name for each kind."""
    figure, axes = _figure(len(truths), 6.4, 5.6)
    for axis, (title, truth) in zip(axes, truths.items(), strict=True):
        _scatter(axis, points, truth)
        axis.set_title(f"by {title}")
        axis.set_xticks([])
        axis.set_yticks([])
    return _plot(figure, f"t-SNE of the embedding by {' and by '.join(truths)}")


def _scatter(axis: "Axes", points: Floats, truth: Strings) -> None:
    kinds, counts = np.unique(truth, return_counts=True)
    order = kinds[np.argsort(-counts)]
    size = float(np.clip(20_000 / len(points), 14, 45))
    for kind, marker in zip(order, cycle(MARKERS), strict=False):
        own = points[truth == kind]
        axis.scatter(
            own[:, 0], own[:, 1], s=size, marker=marker, alpha=0.6, linewidths=0
        )
    for kind in order[:MOST_NAMED]:
        own = points[truth == kind]
        # The image nearest the median: a name that stands among its own.
        middle = own[((own - np.median(own, axis=0)) ** 2).sum(axis=1).argmin()]
        box = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.7}
        axis.annotate(str(kind), middle, fontsize=7, ha="center", bbox=box)


def tile_picture(tile: NDArray[np.uint8], text: str = "") -> PagePicture:
    """Return a tile (size, size)."""
    _, png = cv2.imencode(".png", tile)
    return _picture(png.tobytes(), text)


def _figure(columns: int, width: float, height: float) -> "tuple[Figure, list[Axes]]":
    # Without pyplot, which keeps every figure in memory.
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(width * columns, height), dpi=DOTS_PER_INCH, layout="constrained"
    )
    axes = figure.subplots(1, columns, squeeze=False)
    return figure, list(axes[0])


def _plot(figure: "Figure", text: str) -> PagePicture:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return _picture(buffer.getvalue(), text)


def _picture(png: bytes, text: str) -> PagePicture:
    data = base64.b64encode(png).decode()
    return PagePicture(f"data:image/png;base64,{data}", text)
