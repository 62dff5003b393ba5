"""The report of the benchmark: one HTML page without outside parts."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from benchmarks.flagging.report.goals import goals_table
from benchmarks.flagging.report.plots import precision_recall, reliability_diagram
from benchmarks.flagging.report.sections import (
    cost_section,
    left_out_section,
    series_section,
)
from benchmarks.flagging.report.tables import (
    NAMES,
    cells_table,
    groups_table,
    heat_table,
    methods_table,
)
from benchmarks.flagging.store import COST, LEFT_OUT, SERIES, SINGLE, FlaggingStore

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Veritag: findings against the alternatives</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 82em; padding: 0 1em; }}
table {{ border-collapse: collapse; margin: .6em 0 1.6em; font-size: 13px; }}
td, th {{ padding: .15em .6em; border-bottom: 1px solid #ccc; text-align: left; vertical-align: top; }}
td.n {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
tr.ours td {{ background: #eef4fa; font-weight: 600; }}
tr.ours small {{ font-weight: 400; }}
table.heat td.n {{ text-align: center; }}
img {{ max-width: 100%; }}
small {{ color: #444; }}
section {{ break-inside: avoid; }}
@media print {{ body {{ margin: 0; max-width: none; font-size: 11px; }} table {{ font-size: 9px; }} }}
</style></head><body>
<h1>Findings against what one would otherwise do</h1>
{body}
</body></html>
"""
PARTS = {
    "judged": "Only values that ours judges, for every method",
    "UNIFESP": "The UNIFESP radiographs alone: one hospital, one modality",
    "DICOM": "The DICOM files alone",
    "new stations": "Scanners that trained nothing; their images calibrate ours",
}
ABOUT = {
    "uniform": "Errors on single images, any contradicting value of the tag",
    "realistic": "Half slips such as CHEST for ABDOMEN, half another patient's protocol "
    "kept for all images of one",
    "stations": "Every image of a scanner carries one value",
    "overlapping": "As uniform, but values that merely overlap the right one (HAND for "
    "WRIST) count as wrong too",
}


def report_page(store: FlaggingStore) -> str:
    """Return the page of what there is so far."""
    cells = store.of(SINGLE)
    sections = [
        _data(store),
        goals_table(store),
        *_headlines(cells),
        *_pictures(cells),
        *_parts(cells),
        *_sweeps(cells),
        *_groups(cells),
        series_section(store.of(SERIES)),
        left_out_section(store.of(LEFT_OUT)),
        cost_section(store.of(COST)),
        _notes(store),
    ]
    body = "\n".join(f"<section>{s}</section>" for s in sections if s)
    return PAGE.format(body=body)


def main_cells(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Return kind of error to the comparison at the first share and rate there is."""
    first = next(iter(cells.values()), None)
    if first is None:
        return {}
    return {
        cell["kind"]: cell
        for cell in cells.values()
        if (cell["poison"], cell["rate"]) == (first["poison"], first["rate"])
    }


def _data(store: FlaggingStore) -> str:
    setup = store.setup
    images, patients = setup["images"], setup["patients"]
    return (
        f"<p>{images['training']} images trained, {images['calibration']} of other "
        f"patients calibrated; figures are of {images['unseen']} images of "
        f"{patients['unseen']} patients that did neither, and apart from them of "
        f"{images['new_stations']} images of {patients['new_stations']} patients from "
        "scanners that trained nothing. " + _whose(setup) + "Tiles of "
        f"{setup['size']} pixels, recipe {escape(setup['recipe'])}, seed {setup['seed']}. "
        "Small figures are 95 % intervals over draws of patients; * marks the best of a "
        "column. Above by: how far our average precision (AP) and recall at 1 % false "
        "alarms (R1) are above a method's under the same draws; (chance) where the "
        "interval holds 0.</p>"
    )


def _whose(setup: Mapping[str, Any]) -> str:
    if not setup.get("bundle"):
        return ""
    return (
        f"Ours is the bundle {escape(setup['bundle'])}, whose own tags in training were "
        "as they came: only the other methods met the wrong ones. "
    )


def _headlines(cells: Mapping[str, Any]) -> Iterator[str]:
    for kind, cell in main_cells(cells).items():
        if kind in ("uniform", "realistic"):
            yield _headline(kind, cell)


def _headline(kind: str, cell: Mapping[str, Any]) -> str:
    lines = [
        f"<h2>Single images, {cell['rate']:.0%} wrong: {kind}</h2>",
        _about(kind, cell),
    ]
    for tag, told in cell["tags"].items():
        part = told["parts"].get("all")
        if part:
            lines.append(
                f"<h3>{NAMES[tag]}: {part['wrong']} wrong of {part['values']} values</h3>"
                + methods_table(part, told["ways"])
            )
    return "".join(lines)


def _about(kind: str, cell: Mapping[str, Any]) -> str:
    return (
        f"<p>{ABOUT[kind]}; {cell['poison']:.0%} of the tags in training are wrong as "
        f"well. Errors were injected {cell['rounds']} times.</p>"
    )


def _pictures(cells: Mapping[str, Any]) -> Iterator[str]:
    for kind, cell in main_cells(cells).items():
        if kind not in ("uniform", "realistic"):
            continue
        panels = {f"{NAMES[t]}, {kind}": told for t, told in cell["tags"].items()}
        yield (
            f"<h2>Precision and recall: {kind}</h2>"
            + precision_recall({n: t["curves"] for n, t in panels.items()})
            + f"<h2>Reliability: {kind}</h2>"
            + reliability_diagram({n: t["reliability"] for n, t in panels.items()})
        )


def _parts(cells: Mapping[str, Any]) -> Iterator[str]:
    for part, title in PARTS.items():
        shown = [
            f"<h3>{NAMES[tag]}, {kind}: {told['parts'][part]['wrong']} wrong of "
            f"{told['parts'][part]['values']} values</h3>"
            + methods_table(told["parts"][part], told["ways"])
            for kind, cell in main_cells(cells).items()
            if kind in ("uniform", "realistic")
            for tag, told in cell["tags"].items()
            if part in told["parts"]
        ]
        if shown:
            yield f"<h2>{escape(title)}</h2>" + "".join(shown)


def _sweeps(cells: Mapping[str, Any]) -> Iterator[str]:
    for tag, name in NAMES.items():
        columns = [(key, tag) for key in sorted(cells, key=lambda k: _order(cells[k]))]
        if len(columns) > 1:
            by_poison: dict[float, list[tuple[str, str]]] = {}
            for key, _ in columns:
                by_poison.setdefault(cells[key]["poison"], []).append((key, tag))
            yield (
                f"<h2>{name}: average precision by kind and rate of errors</h2>"
                + "".join(
                    f"<h3>{poison:.0%} of the tags in training wrong</h3>"
                    + cells_table(cells, chosen)
                    for poison, chosen in by_poison.items()
                )
            )


def _order(cell: Mapping[str, Any]) -> tuple[float, str, float]:
    return cell["poison"], cell["kind"], cell["rate"]


def _groups(cells: Mapping[str, Any]) -> Iterator[str]:
    cell = main_cells(cells).get("uniform")
    if cell is None:
        return
    for tag, told in cell["tags"].items():
        yield (
            f"<h2>{NAMES[tag]} by kind of image: our average precision</h2><p>Small: "
            "wrong values over all rounds. Kinds with fewer than five tell nothing.</p>"
            + heat_table(told["parts"])
        )
        for group in ("modality", "region", "source"):
            yield f"<h3>{NAMES[tag]} by {group}</h3>" + groups_table(
                told["parts"], group
            )


def _notes(store: FlaggingStore) -> str:
    without = "" if store.setup["cleanlab"] else " cleanlab was not installed: no rows."
    return (
        "<h2>How</h2><p>An injected value contradicts the right one: no picture can carry "
        "both. Ours is the probability that the product's own path gives, picture alone; "
        "a value that it does not judge counts as 0 in the ranking and is left out of the "
        "calibration error. Without gates: the same graph's own probabilities, neither "
        "calibrated nor held back where too little was shown. The supervised CNN trained on the same noisy tags "
        f"({store.setup['supervised_epochs']} passes) and has its temperature from the "
        "patients that calibrate ours. Vote, logistic regression and Datalab learnt from "
        "both parts. Flags are by each method's own rule: our threshold, a score of one "
        "half, cleanlab's find_label_issues. Said as: the best of a method's ways, chosen "
        f"by average precision on these very images.{without}</p>"
    )
