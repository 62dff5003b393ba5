"""The report of a comparison: one HTML page without external resources."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from model_training.compare.cell import (
    CONSTRAINTS,
    GAMMA,
    PICTURED,
    POISON,
    RECIPE_CHANGES,
    TABLE,
    K,
)
from model_training.compare.comparison_store import ComparisonStore
from model_training.compare.images.patient_split import PatientSplit
from model_training.compare.report import plots
from model_training.compare.report.contact_sheets import contact_sheet
from model_training.compare.report.plots import PagePicture
from model_training.compare.report.summary import (
    COLUMNS,
    Row,
    best,
    label,
    rows_of,
    series_of,
)
from model_training.process.html_page import render_page

MAIN = ("nmi_region", "nmi_modality")
HOMOGENEITY = ("hs_region", "hs_modality")
SWEEP_COLUMNS = (*MAIN, *HOMOGENEITY, "clusters")
PARTS = {
    "all": "All unseen images",
    "UNIFESP": "The UNIFESP radiographs alone",
    "DICOM": "The DICOM files alone",
}
ABOUT = {
    "UNIFESP": "One hospital and one modality: region and source are not confounded.",
    "DICOM": "Received objects with the tags that they came with.",
}
SWEPT = {
    K: ("Number of clusters", "K", False, "Table 1"),
    GAMMA: ("Weight of the pairwise loss", "gamma", True, "Table 2"),
    CONSTRAINTS: ("Number of constraints", "constraints", True, "Figure 6"),
    POISON: ("Wrong tags in the training data", "share of wrong tags", False, ""),
}
"""Sweep to its title, axis label, whether the axis is logarithmic, place in the paper."""


@dataclass(frozen=True, slots=True)
class NumberCell:
    """One figure of a table, with its 95 % interval where there is one."""

    text: str
    interval: str = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One method of a table; in a sweep also the value of what is varied."""

    name: str
    cells: tuple[NumberCell, ...]
    x: str = ""


def report_page(
    store: ComparisonStore, images: PatientSplit, *, with_tsne: bool = False
) -> str:
    """Return the page.

    Parameters
    ----------
    with_tsne
        Whether t-SNE is run where its result is not stored yet.
    """
    cells = store.of(TABLE)
    return render_page(
        __package__,
        "comparison.html",
        **_sizes(store, images),
        columns=list(COLUMNS.values()),
        parts=list(_reported_parts(cells, images)) if cells else [],
        margins=_margins(rows_of(cells)),
        notes=_notes(cells),
        tsne=list(_tsne(store, images, with_tsne)),
        variations=_variations(store),
        sweeps=list(_sweeps(store)),
        sheet=contact_sheet(store, images),
        failed=list(_failed(store)),
    )


def _sizes(store: ComparisonStore, images: PatientSplit) -> dict[str, Any]:
    names = ("training", "held_out", "unseen")
    sets = {name: getattr(images, name) for name in names}
    return {
        "images": {name: len(data) for name, data in sets.items()},
        "patients": {n: len(set(d.patients.tolist())) for n, d in sets.items()},
        "size": store.setup["size"],
        "sweep_size": store.setup["sweep_size"],
    }


def _reported_parts(
    cells: Sequence[Mapping[str, Any]], images: PatientSplit
) -> Iterator[dict[str, Any]]:
    """Yield the table of each part of the unseen images; the first with a plot."""
    intervals = {c["row"]: c["intervals"] for c in cells if c["seed"] == 1}
    for part in images.reported_masks():
        rows, is_all = rows_of(cells, part), part == "all"
        named = {label(row): figures for row, figures in rows.items()}
        yield {
            "title": PARTS[part],
            "about": ABOUT.get(part, ""),
            "rows": _table(rows, intervals if is_all else {}),
            "picture": plots.bar_plot(named, MAIN) if is_all else None,
        }


def _table(
    rows: Mapping[str, Row], intervals: Mapping[str, Mapping[str, Sequence[float]]]
) -> list[TableRow]:
    highest = best(rows)
    return [
        TableRow(
            label(row),
            tuple(
                _number(
                    figures, column, highest.get(column) == row, intervals.get(row, {})
                )
                for column in COLUMNS
            ),
        )
        for row, figures in rows.items()
    ]


def _number(
    figures: Row,
    column: str,
    is_best: bool = False,
    intervals: Mapping[str, Sequence[float]] | None = None,
) -> NumberCell:
    if column not in figures:
        return NumberCell("-")
    text = figures[column].shown(column) + (" *" if is_best else "")
    if not intervals or column not in intervals:
        return NumberCell(text)
    low, high = intervals[column]
    return NumberCell(text, f"[{low:.3f}, {high:.3f}]")


def _margins(rows: Mapping[str, Row]) -> list[str]:
    """Return how far our models are above IDEC, one line a model."""
    if "idec" not in rows:
        return []
    return [
        f"{label(row)}: "
        + ", ".join(
            f"{rows[row][c].mean - rows['idec'][c].mean:+.3f} {COLUMNS[c]}"
            for c in MAIN
        )
        for row in ("paper", "constrained", "veritag")
        if row in rows
    ]


def _notes(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    noted = [c for c in cells if c["seed"] == 1 and c.get("notes")]
    keys = list(dict.fromkeys(key for cell in noted for key in cell["notes"]))
    return {
        "names": [key.replace("_", " ") for key in keys],
        "rows": [
            {
                "name": label(cell["row"]),
                "seconds": cell["seconds"],
                "notes": [cell["notes"].get(key, "") for key in keys],
            }
            for cell in noted
        ],
    }


def _tsne(
    store: ComparisonStore, images: PatientSplit, with_tsne: bool
) -> Iterator[tuple[str, PagePicture]]:
    """Yield the name of each pictured method and its unseen images in the plane."""
    for row in PICTURED:
        # The stored embedding may be of an earlier run on other images.
        outcome, unseen = store.embedding(row), images.unseen
        if outcome is None or len(outcome.labels) != len(unseen):
            continue
        make = partial(plots.tsne_points, outcome.embedding) if with_tsne else None
        stored = store.points(row, make)
        if stored is None:
            continue
        rows, points = stored
        truths = {"modality": unseen.modality[rows], "region": unseen.region[rows]}
        yield label(row), plots.scatter_plot(points, truths)


def _variations(store: ComparisonStore) -> dict[str, Any] | None:
    rows = rows_of(store.of(RECIPE_CHANGES))
    if len(rows) < 2:  # noqa: PLR2004 -- the default alone
        return None
    named = {label(row): figures for row, figures in rows.items()}
    return {
        "rows": _table(rows, {}),
        "pictures": [plots.bar_plot(named, MAIN), plots.bar_plot(named, HOMOGENEITY)],
    }


def _sweeps(store: ComparisonStore) -> Iterator[dict[str, Any]]:
    for sweep, (title, xlabel, log, place) in SWEPT.items():
        series = series_of(store.of(sweep))
        if not series:
            continue
        yield {
            "title": f"{title} (the paper's {place})" if place else title,
            "xlabel": xlabel,
            "picture": plots.line_plot(series, MAIN, xlabel=xlabel, log=log),
            "columns": [COLUMNS[c] for c in SWEEP_COLUMNS],
            "rows": _sweep_rows(series),
        }


def _sweep_rows(series: Mapping[str, Mapping[float, Row]]) -> list[TableRow]:
    return [
        TableRow(name, tuple(_number(points[x], c) for c in SWEEP_COLUMNS), f"{x:g}")
        for name, points in series.items()
        for x in sorted(points)
    ]


def _failed(store: ComparisonStore) -> Iterator[str]:
    for cell, reason in store.failed():
        at = f" at {cell['x']:g}" if cell["x"] is not None else ""
        yield f"{label(cell['row'])}, {cell['sweep']}{at}, seed {cell['seed']}: {reason}"
