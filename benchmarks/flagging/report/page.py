"""Report of the benchmark: one HTML page that loads nothing from elsewhere."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.flagging.models import OURS
from benchmarks.flagging.report.goals import measured_goals
from benchmarks.flagging.report.plots import precision_recall, reliability_diagram
from benchmarks.flagging.report.tables import (
    GROUP_COLUMNS,
    NAMES,
    TITLES,
    comparison_rows,
    group_rows,
    heat_map,
    methods_table,
)
from benchmarks.flagging.store import COST, LEFT_OUT, SERIES, SINGLE, FlaggingStore
from model_training.process.html_page import render_page

SHOWN_KINDS = ("uniform", "realistic")
PARTS = {
    "judged": "Only values that Veritag judges, for every method",
    "UNIFESP": "The UNIFESP radiographs alone: one hospital, one modality",
    "DICOM": "The DICOM files alone",
    "new stations": "Scanners without training images; their images calibrate Veritag",
}
ABOUT = {
    "uniform": "Errors on single images, any contradicting value of the tag",
    "realistic": "Half are confusions such as CHEST for ABDOMEN, half the protocol of "
    "another patient for all images of one",
}


def report_page(store: FlaggingStore) -> str:
    """Return the page of the results so far."""
    cells = store.of(SINGLE)
    main = main_cells(cells)
    shown = {kind: main[kind] for kind in main if kind in SHOWN_KINDS}
    return render_page(
        __package__ or "",
        "report.html",
        setup=store.setup,
        titles=TITLES,
        group_titles=[TITLES[column] for column in GROUP_COLUMNS],
        goals=measured_goals(store),
        comparisons=[_comparison(kind, cell) for kind, cell in shown.items()],
        parts=[*_parts(shown)],
        sweeps=[*_sweeps(cells)],
        by_kind=[*_by_kind(main.get("uniform", {"tags": {}}))],
        series=[*_series_rows(store.of(SERIES))],
        left_out=store.of(LEFT_OUT),
        cost=next(iter(store.of(COST).values()), None),
    )


def main_cells(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Return kind of error to the comparison at the share and rate of the first one."""
    first = next(iter(cells.values()), None)
    if first is None:
        return {}
    return {
        cell["kind"]: cell
        for cell in cells.values()
        if (cell["poison"], cell["rate"]) == (first["poison"], first["rate"])
    }


def _comparison(kind: str, cell: Mapping[str, Any]) -> dict[str, Any]:
    panels = {f"{NAMES[tag]}, {kind}": result for tag, result in cell["tags"].items()}
    return {
        **{name: cell[name] for name in ("kind", "rate", "poison", "rounds")},
        "about": ABOUT[kind],
        "tables": [
            methods_table(NAMES[tag], result, "all")
            for tag, result in cell["tags"].items()
            if result["parts"].get("all")
        ],
        "precision_recall": precision_recall(
            {title: result["curves"] for title, result in panels.items()}
        ),
        "reliability": reliability_diagram(
            {title: result["reliability"] for title, result in panels.items()}
        ),
    }


def _parts(shown: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, title in PARTS.items():
        tables = [
            methods_table(f"{NAMES[tag]}, {kind}", result, name)
            for kind, cell in shown.items()
            for tag, result in cell["tags"].items()
            if name in result["parts"]
        ]
        if tables:
            yield {"title": title, "tables": tables}


def _sweeps(cells: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield tables of all comparisons, one for each share of wrong tags in training."""
    if len(cells) < 2:
        return
    by_poison: dict[float, list[str]] = {}
    for key in sorted(cells, key=lambda k: _order(cells[k])):
        by_poison.setdefault(cells[key]["poison"], []).append(key)
    for tag, name in NAMES.items():
        yield {
            "tag": name,
            "tables": [
                (
                    poison,
                    [key.partition(", ")[2] for key in keys],
                    comparison_rows(cells, keys, tag),
                )
                for poison, keys in by_poison.items()
            ],
        }


def _order(cell: Mapping[str, Any]) -> tuple[float, str, float]:
    return cell["poison"], cell["kind"], cell["rate"]


def _by_kind(cell: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for tag, result in cell["tags"].items():
        parts = result["parts"]
        groups = ("modality", "region", "source")
        yield {
            "tag": NAMES[tag],
            "heat_map": heat_map(parts),
            "groups": [(group, group_rows(parts, group)) for group in groups],
        }


def _series_rows(results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for groups in results.values():
        for group, tags in groups.items():
            for tag, result in tags.items():
                for method, measures in result["methods"].items():
                    yield {
                        "group": group,
                        "tag": NAMES[tag],
                        "method": method,
                        "is_ours": method == OURS,
                        "series": result["series"],
                        **measures,
                    }
