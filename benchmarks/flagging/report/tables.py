"""Tables of the report, from the results as they are kept."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from benchmarks.flagging.models import OURS

Cells = Mapping[str, Any]
TITLES = {
    "average_precision": "Average precision",
    "recall_at_1_percent": "Recall at 1 % false alarms",
    "recall_at_budget": "Recall at equal budget",
    "precision": "Precision of flags",
    "recall": "Recall of flags",
    "calibration_error": "Calibration error",
    "coverage": "Judged",
    "coverage_of_wrong": "Wrong ones judged",
}
NAMES = {"BodyPartExamined": "Region", "Modality": "Modality"}
LOWER_IS_BETTER = ("calibration_error",)
UNRANKED = ("precision", "recall", "coverage", "coverage_of_wrong")


def number(figures: Mapping[str, Any], name: str, *, best: bool = False) -> str:
    """Return a table cell with a figure and its interval."""
    value = figures.get(name)
    if value is None:
        return "<td class=n>-"
    text = f"{value:.3f}" + (" *" if best else "")
    ends = figures.get(f"{name}_interval")
    if ends:
        text += f"<br><small>{ends[0]:.3f} to {ends[1]:.3f}</small>"
    return f"<td class=n>{text}"


def methods_table(
    part: Mapping[str, Any],
    ways: Mapping[str, str],
    columns: Sequence[str] = tuple(TITLES),
) -> str:
    """Return the figures of all methods on a part of the images, the best marked."""
    methods = ordered(part["methods"])
    marked = {column: best_of(methods, column) for column in columns}
    head = "".join(f"<th>{TITLES[c]}" for c in columns)
    lines = [f"<table><tr><th>Method<th>Said as{head}<th>Ours is above by</tr>"]
    for name, figures in methods.items():
        shown = "".join(
            number(figures, c, best=marked[c] == name and c not in UNRANKED)
            for c in columns
        )
        lines.append(
            f"<tr{' class=ours' if name == OURS else ''}><td>{escape(name)}"
            f"<td>{escape(ways.get(name, ''))}{shown}{_above(part, name)}</tr>"
        )
    if not any(name.startswith("cleanlab") for name in methods):
        lines.append(
            f"<tr><td>cleanlab<td colspan={len(columns) + 2}>not installed</tr>"
        )
    return "\n".join([*lines, "</table>"])


def ordered(methods: Mapping[str, Any]) -> dict[str, Any]:
    """Return ours first, then the others by average precision."""
    return dict(
        sorted(
            methods.items(),
            key=lambda item: (item[0] != OURS, -(item[1]["average_precision"] or 0)),
        )
    )


def best_of(methods: Mapping[str, Any], column: str) -> str | None:
    """Return the method with the best figure of a column, None without any."""
    told = {m: f[column] for m, f in methods.items() if f.get(column) is not None}
    if not told:
        return None
    choose: Callable[..., str] = min if column in LOWER_IS_BETTER else max
    return choose(told, key=told.__getitem__)


def _above(part: Mapping[str, Any], name: str) -> str:
    """Return by how much ours ranks better, and whether that is more than chance."""
    told = part.get("above", {}).get(name, {})
    lines = []
    for figure, short in (("average_precision", "AP"), ("recall_at_1_percent", "R1")):
        if figure in told:
            low, high = told[figure]["interval"]
            sure = "" if low > 0 or high < 0 else " (chance)"
            lines.append(
                f"{short} {told[figure]['difference']:+.3f} "
                f"<small>{low:+.3f} to {high:+.3f}</small>{sure}"
            )
    return f"<td class=n>{'<br>'.join(lines)}"


def cells_table(cells: Cells, columns: Sequence[tuple[str, str]]) -> str:
    """Return average precision by method (rows) and comparison (columns).

    Parameters
    ----------
    columns
        Name of a comparison, and the tag.
    """
    tables = {column: _whole(cells, *column) for column in columns}
    names = {m for told in tables.values() for m in told}
    first = next(iter(tables.values()), {})
    rows = [m for m in ordered(first) if m in names]
    head = "".join(f"<th>{escape(_short(c))}<br>{NAMES[tag]}" for c, tag in columns)
    lines = [f"<table><tr><th>Method{head}</tr>"]
    for name in rows:
        shown = "".join(
            number(told.get(name, {}), "average_precision",
                   best=best_of(told, "average_precision") == name)
            for told in tables.values()
        )  # fmt: skip
        lines.append(
            f"<tr{' class=ours' if name == OURS else ''}><td>{escape(name)}{shown}</tr>"
        )
    return "\n".join([*lines, "</table>"])


def _short(name: str) -> str:
    return name.partition(", ")[2]


def _whole(cells: Cells, name: str, tag: str) -> dict[str, Any]:
    part = cells[name]["tags"][tag]["parts"].get("all", {})
    methods: dict[str, Any] = part.get("methods", {})
    return methods


def groups_table(parts: Mapping[str, Any], group: str) -> str:
    """Return our figures on each modality, region or source, the most errors first."""
    prefix = f"{group}: "
    chosen = {n[len(prefix) :]: p for n, p in parts.items() if n.startswith(prefix)}
    if not chosen:
        return ""
    columns = (
        "average_precision",
        "recall_at_1_percent",
        "precision",
        "recall",
        "coverage",
    )
    head = "".join(f"<th>{TITLES[c]}" for c in columns)
    lines = [
        f"<table><tr><th>{group.capitalize()}<th>Values<th>Wrong{head}<th>Best other</tr>"
    ]
    for name, part in sorted(chosen.items(), key=lambda i: -i[1]["wrong"]):
        figures = part["methods"][OURS]
        shown = "".join(number(figures, c) for c in columns)
        lines.append(
            f"<tr><td>{escape(name)}<td class=n>{part['values']}<td class=n>"
            f"{part['wrong']}{shown}<td class=n>{_best_other(part['methods'])}</tr>"
        )
    return "\n".join([*lines, "</table>"])


def _best_other(methods: Mapping[str, Any]) -> str:
    others = {m: f for m, f in methods.items() if m != OURS}
    name = best_of(others, "average_precision")
    if name is None:
        return "-"
    return f"{others[name]['average_precision']:.3f} <small>{escape(name)}</small>"


def heat_table(parts: Mapping[str, Any]) -> str:
    """Return our average precision by region and Modality; the darker the better."""
    found = dict(_kinds(parts))
    if not found:
        return ""
    columns = sorted({modality for modality, _ in found})
    head = "".join(f"<th>{escape(m)}" for m in columns)
    lines = [f"<table class=heat><tr><th>{head}</tr>"]
    for region in sorted({region for _, region in found}):
        shown = "".join(_heat(found.get((m, region))) for m in columns)
        lines.append(f"<tr><td>{escape(region)}{shown}</tr>")
    return "\n".join([*lines, "</table>"])


def _kinds(parts: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Any]]:
    for name, part in parts.items():
        if name.startswith("kind: "):
            modality, _, region = name[6:].partition(" ")
            yield (modality, region), part


def _heat(part: Mapping[str, Any] | None) -> str:
    if part is None:
        return "<td>"
    value = part["methods"][OURS]["average_precision"]
    if value is None:
        return "<td>"
    light = 97 - 45 * value
    return (
        f'<td class=n style="background:hsl(205 60% {light:.0f}%)">{value:.2f}'
        f"<br><small>{part['wrong']}</small>"
    )
