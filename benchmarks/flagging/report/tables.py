"""Rows of the report's tables, from the stored results."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.flagging.models import OURS

Comparisons = Mapping[str, Any]
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
GROUP_COLUMNS = (
    "average_precision", "recall_at_1_percent", "precision", "recall", "coverage",
)  # fmt: skip
NAMES = {"BodyPartExamined": "Region", "Modality": "Modality"}
LOWER_IS_BETTER = ("calibration_error",)
UNRANKED = ("precision", "recall", "coverage", "coverage_of_wrong")


@dataclass(frozen=True)
class MeasureCell:
    """A measure as text, with its interval."""

    text: str
    interval: str = ""


@dataclass(frozen=True)
class Lead:
    """Lead of Veritag over a method; by chance if the interval contains 0."""

    text: str
    interval: str
    by_chance: bool


@dataclass(frozen=True)
class MethodRow:
    """Measures of one method."""

    name: str
    cells: tuple[MeasureCell, ...]
    variant: str = ""
    leads: tuple[Lead, ...] = ()

    @property
    def is_ours(self) -> bool:
        """Whether the method is Veritag."""
        return self.name == OURS


@dataclass(frozen=True)
class MethodsTable:
    """Measures of all methods on a part of the images."""

    title: str
    wrong: int
    values: int
    rows: list[MethodRow]

    @property
    def has_cleanlab(self) -> bool:
        """Whether a method of cleanlab is among the rows."""
        return any(row.name.startswith("cleanlab") for row in self.rows)


@dataclass(frozen=True)
class GroupRow:
    """Veritag's measures on one modality, region or source, and the best other method."""

    name: str
    values: int
    wrong: int
    cells: tuple[MeasureCell, ...]
    best_other: MeasureCell


@dataclass(frozen=True)
class HeatCell:
    """Average precision of one kind of image, with its color and its errors."""

    text: str
    lightness: int
    wrong: int


@dataclass(frozen=True)
class HeatMap:
    """Average precision by region (rows) and Modality (columns)."""

    columns: list[str]
    rows: list[tuple[str, list[HeatCell | None]]]


def measure_cell(
    figures: Mapping[str, Any], name: str, *, best: bool = False
) -> MeasureCell:
    """Return a measure with its interval; a star marks the best one."""
    value = figures.get(name)
    if value is None:
        return MeasureCell("-")
    ends = figures.get(f"{name}_interval")
    interval = f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else ""
    return MeasureCell(f"{value:.3f}" + (" *" if best else ""), interval)


def methods_table(title: str, result: Mapping[str, Any], name: str) -> MethodsTable:
    """Return the table of a part of a tag's results."""
    part = result["parts"][name]
    rows = method_rows(part, result["variants"])
    return MethodsTable(title, part["wrong"], part["values"], rows)


def method_rows(
    part: Mapping[str, Any], variants: Mapping[str, str]
) -> list[MethodRow]:
    """Return the measures of all methods, the best of each column marked."""
    methods = ordered(part["methods"])
    best = {column: best_of(methods, column) for column in TITLES}
    return [
        MethodRow(
            name,
            tuple(
                measure_cell(figures, c, best=best[c] == name and c not in UNRANKED)
                for c in TITLES
            ),
            variants.get(name, ""),
            tuple(_leads(part.get("above", {}).get(name, {}))),
        )
        for name, figures in methods.items()
    ]


def ordered(methods: Mapping[str, Any]) -> dict[str, Any]:
    """Return Veritag first, then the others by average precision."""
    return dict(
        sorted(
            methods.items(),
            key=lambda item: (item[0] != OURS, -(item[1]["average_precision"] or 0)),
        )
    )


def best_of(methods: Mapping[str, Any], column: str) -> str | None:
    """Return the method with the best measure of a column, None if none has one."""
    values = {m: f[column] for m, f in methods.items() if f.get(column) is not None}
    if not values:
        return None
    choose: Callable[..., str] = min if column in LOWER_IS_BETTER else max
    return choose(values, key=values.__getitem__)


def _leads(leads: Mapping[str, Any]) -> Iterator[Lead]:
    for figure, short in (("average_precision", "AP"), ("recall_at_1_percent", "R1")):
        if figure in leads:
            low, high = leads[figure]["interval"]
            text = f"{short} {leads[figure]['difference']:+.3f}"
            yield Lead(text, f"{low:+.3f} to {high:+.3f}", low <= 0 <= high)


def comparison_rows(
    comparisons: Comparisons, keys: Sequence[str], tag: str
) -> list[MethodRow]:
    """Return average precision by method (rows) and comparison (columns)."""
    tables = [_methods(comparisons, key, tag) for key in keys]
    best = [best_of(methods, "average_precision") for methods in tables]
    return [
        MethodRow(
            name,
            tuple(
                measure_cell(
                    methods.get(name, {}), "average_precision", best=top == name
                )
                for methods, top in zip(tables, best, strict=True)
            ),
        )
        for name in ordered(tables[0])
    ]


def _methods(comparisons: Comparisons, key: str, tag: str) -> dict[str, Any]:
    part = comparisons[key]["tags"][tag]["parts"].get("all", {})
    methods: dict[str, Any] = part.get("methods", {})
    return methods


def group_rows(parts: Mapping[str, Any], group: str) -> list[GroupRow]:
    """Return Veritag's measures by modality, region or source, most errors first."""
    prefix = f"{group}: "
    members = {n[len(prefix) :]: p for n, p in parts.items() if n.startswith(prefix)}
    return [
        GroupRow(
            name,
            part["values"],
            part["wrong"],
            tuple(measure_cell(part["methods"][OURS], c) for c in GROUP_COLUMNS),
            _best_other(part["methods"]),
        )
        for name, part in sorted(members.items(), key=lambda m: -m[1]["wrong"])
    ]


def _best_other(methods: Mapping[str, Any]) -> MeasureCell:
    others = {m: f for m, f in methods.items() if m != OURS}
    name = best_of(others, "average_precision")
    if name is None:
        return MeasureCell("-")
    return MeasureCell(f"{others[name]['average_precision']:.3f}", name)


def heat_map(parts: Mapping[str, Any]) -> HeatMap:
    """Return Veritag's average precision by region and Modality."""
    cells = dict(_kinds(parts))
    columns = sorted({modality for modality, _ in cells})
    regions = sorted({region for _, region in cells})
    return HeatMap(
        columns,
        [(region, [cells.get((m, region)) for m in columns]) for region in regions],
    )


def _kinds(
    parts: Mapping[str, Any],
) -> Iterator[tuple[tuple[str, str], HeatCell | None]]:
    for name, part in parts.items():
        if name.startswith("kind: "):
            modality, _, region = name.removeprefix("kind: ").partition(" ")
            yield (modality, region), _heat_cell(part)


def _heat_cell(part: Mapping[str, Any]) -> HeatCell | None:
    value = part["methods"][OURS]["average_precision"]
    if value is None:
        return None
    return HeatCell(f"{value:.2f}", round(97 - 45 * value), part["wrong"])
