"""The report of a comparison: one HTML page without outside parts."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any

from model_training.compare.cells import (
    CONSTRAINTS,
    GAMMA,
    PICTURED,
    POISON,
    TABLE,
    TRIED,
    K,
)
from model_training.compare.images.parts import Parts
from model_training.compare.report import plots
from model_training.compare.report.contact_sheets import contact_sheets
from model_training.compare.report.summary import (
    COLUMNS,
    Row,
    best,
    label,
    rows_of,
    series_of,
)
from model_training.compare.store import ComparisonStore

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Veritag comparison</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 76em; padding: 0 1em; }}
table {{ border-collapse: collapse; margin: .6em 0 1.6em; font-size: 13px; }}
td, th {{ padding: .15em .6em; border-bottom: 1px solid #ccc; text-align: left; vertical-align: top; }}
td.n {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
img.plot {{ max-width: 100%; }}
img.tile {{ width: 64px; height: 64px; image-rendering: pixelated; margin: 1px; }}
td.tiles {{ white-space: nowrap; }}
small, caption {{ color: #444; text-align: left; }}
section {{ break-inside: avoid; }}
@media print {{ body {{ margin: 0; max-width: none; font-size: 11px; }} table {{ font-size: 9px; }} }}
</style></head><body>
<h1>Clusterings compared on unseen patients</h1>
{body}
</body></html>
"""
MAIN = ("nmi_region", "nmi_modality")
HOMOGENEITY = ("hs_region", "hs_modality")
PARTS = {
    "all": "All unseen images",
    "UNIFESP": "The UNIFESP radiographs alone",
    "DICOM": "The DICOM files alone",
}
ABOUT = {
    "UNIFESP": "One hospital and one modality: region and source are not confounded.",
    "DICOM": "Received objects with the tags that they came with.",
}
VARIED = {
    K: ("Number of clusters", "K", False, "Table 1"),
    GAMMA: ("Weight of the pairwise loss", "gamma", True, "Table 2"),
    CONSTRAINTS: ("Number of constraints", "constraints", True, "Figure 6"),
    POISON: ("Wrong tags in the training data", "share of wrong tags", False, ""),
}


def report_page(
    store: ComparisonStore, parts: Parts, *, with_tsne: bool = False
) -> str:
    """Return the page.

    Parameters
    ----------
    with_tsne
        Whether t-SNE is run where it was not yet.
    """
    sections = [_data(store, parts), *_tables(store, parts)]
    sections += [
        *_tsne(store, parts, with_tsne),
        *_tried(store),
        *_varied(store),
        contact_sheets(store, parts),
    ]
    sections.append(_failed(store))
    body = "\n".join(f"<section>{s}</section>" for s in sections if s)
    return PAGE.format(body=body)


def _data(store: ComparisonStore, parts: Parts) -> str:
    setup = store.setup
    return (
        f"<p>{len(parts.training)} images of {_patients(parts.training)} patients or "
        f"objects trained, {len(parts.held_out)} said when to stop, figures are of "
        f"{len(parts.unseen)} of {_patients(parts.unseen)} others, in the nearest of the "
        "clusters found in training. "
        f"Tiles of {setup['size']} pixels; sweeps are run on {setup['sweep_size']} pixels and "
        f"fewer images. Means and standard deviations are over seeds; brackets are 95 % "
        "intervals of the first seed, by drawing patients with return. The highest of a "
        "column is marked with *. NMI: normalized mutual information (arithmetic mean); HS: "
        "homogeneity; ARI: adjusted Rand index; Acc.: images in the one cluster that "
        "stands for their kind.</p>"
    )


def _patients(data: Any) -> int:
    return len(set(data.patients.tolist()))


def _tables(store: ComparisonStore, parts: Parts) -> Iterator[str]:
    cells = store.of(TABLE)
    if not cells:
        return
    brackets = {c["row"]: c["intervals"] for c in cells if c["seed"] == 1}
    for part in parts.reports():
        rows = rows_of(cells, part)
        title = f"<h2>Methods (the paper's Table 3): {PARTS[part]}</h2>"
        about = f"<p>{ABOUT[part]}</p>" if part in ABOUT else ""
        yield title + about + _table(rows, brackets if part == "all" else {})
        if part == "all":
            yield _margins(rows) + plots.bar_plot(
                {label(row): figures for row, figures in rows.items()}, MAIN
            )
    yield _notes(cells)


def _table(
    rows: Mapping[str, Row], brackets: Mapping[str, Mapping[str, Sequence[float]]]
) -> str:
    highest = best(rows)
    head = "".join(f"<th>{escape(name)}" for name in COLUMNS.values())
    lines = [f"<table><tr><th>Method{head}</tr>"]
    for row, figures in rows.items():
        shown = "".join(
            _number(figures, column, highest.get(column) == row, brackets.get(row, {}))
            for column in COLUMNS
        )
        lines.append(f"<tr><td>{escape(label(row))}{shown}</tr>")
    return "\n".join([*lines, "</table>"])


def _number(
    figures: Row,
    column: str,
    is_best: bool,
    brackets: Mapping[str, Sequence[float]],
) -> str:
    if column not in figures:
        return "<td class=n>-"
    text = figures[column].shown(column) + (" *" if is_best else "")
    if column in brackets:
        low, high = brackets[column]
        text += f"<br><small>[{low:.3f}, {high:.3f}]</small>"
    return f"<td class=n>{text}"


def _margins(rows: Mapping[str, Row]) -> str:
    """Return by how much our models are above IDEC; the paper has 0.11 and 0.15."""
    if "idec" not in rows:
        return ""
    told = [
        f"{escape(label(row))}: "
        + ", ".join(
            f"{rows[row][c].mean - rows['idec'][c].mean:+.3f} {COLUMNS[c]}"
            for c in MAIN
        )
        for row in ("paper", "constrained", "veritag")
        if row in rows
    ]
    return (
        "<p>Above convolutional IDEC (the paper has +0.11 for region and +0.15 for "
        f"modality):</p><ul><li>{'<li>'.join(told)}</ul>"
    )


def _notes(cells: Sequence[Mapping[str, Any]]) -> str:
    told = [c for c in cells if c["seed"] == 1 and c.get("notes")]
    if not told:
        return ""
    keys = list(dict.fromkeys(k for c in told for k in c["notes"]))
    head = "".join(f"<th>{escape(k.replace('_', ' '))}" for k in keys)
    lines = [
        f"<tr><td>{escape(label(c['row']))}<td class=n>{c['seconds']}"
        + "".join(f"<td class=n>{c['notes'].get(k, '')}" for k in keys)
        for c in told
    ]
    return (
        "<h2>Constraints and time</h2><p>Of the first seed. Violated: constraints that "
        "the clustering of the training images breaks; relaxed: groups that COP k-means "
        "could place nowhere. Seconds do not count a part of training that another "
        "method's run had done before.</p>"
        f"<table><tr><th>Method<th>Seconds{head}</tr>" + "\n".join(lines) + "</table>"
    )


def _tsne(store: ComparisonStore, parts: Parts, with_tsne: bool) -> Iterator[str]:
    for row in PICTURED:
        outcome, unseen = store.embedding(row), parts.unseen
        if outcome is None or len(outcome.labels) != len(unseen):
            continue
        make = partial(plots.tsne_points, outcome.embedding) if with_tsne else None
        found = store.points(row, make)
        if found is None:
            continue
        rows, points = found
        truths = {"modality": unseen.modality[rows], "region": unseen.region[rows]}
        yield (
            f"<h2>t-SNE (Figure 5): {escape(label(row))}</h2>"
            f"{plots.scatter_plot(points, truths)}"
        )


def _tried(store: ComparisonStore) -> Iterator[str]:
    rows = rows_of(store.of(TRIED))
    if len(rows) < 2:  # noqa: PLR2004 -- nothing beside the default
        return
    yield (
        "<h2>What was tried past the paper</h2><p>Each against the default, on the "
        "images of the sweeps.</p>" + _table(rows, {})
    )
    named = {label(row): figures for row, figures in rows.items()}
    yield plots.bar_plot(named, MAIN) + plots.bar_plot(named, HOMOGENEITY)


def _varied(store: ComparisonStore) -> Iterator[str]:
    for sweep, (title, xlabel, log, where) in VARIED.items():
        series = series_of(store.of(sweep))
        if not series:
            continue
        picture = plots.line_plot(series, MAIN, xlabel=xlabel, log=log)
        figure = f" (the paper's {where})" if where else ""
        yield f"<h2>{title}{figure}</h2>{picture}{_series_table(series, xlabel)}"


def _series_table(series: Mapping[str, Mapping[float, Row]], xlabel: str) -> str:
    columns = ("nmi_region", "nmi_modality", "hs_region", "hs_modality", "clusters")
    head = "".join(f"<th>{COLUMNS[c]}" for c in columns)
    lines = [f"<table><tr><th>Method<th>{escape(xlabel)}{head}</tr>"]
    for name, points in series.items():
        for x in sorted(points):
            shown = "".join(_number(points[x], c, False, {}) for c in columns)
            lines.append(f"<tr><td>{escape(name)}<td class=n>{x:g}{shown}</tr>")
    return "\n".join([*lines, "</table>"])


def _failed(store: ComparisonStore) -> str:
    failed = [
        f"<li>{escape(label(cell['row']))}, {cell['sweep']}"
        + (f" at {cell['x']:g}" if cell["x"] is not None else "")
        + f", seed {cell['seed']}: {escape(why)}"
        for cell, why in store.failed()
    ]
    return f"<h2>What failed</h2><ul>{''.join(failed)}</ul>" if failed else ""
