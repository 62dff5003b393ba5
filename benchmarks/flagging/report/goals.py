"""Goals of the quality of findings, and the measured values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.flagging.models import OURS, UNGATED
from benchmarks.flagging.store import COST, LEFT_OUT, SERIES, SINGLE, FlaggingStore

MAIN = {"poison": 0.05, "rate": 0.05}
REGION, MODALITY = "BodyPartExamined", "Modality"
PRECISION, SLACK = 0.9, 0.05
"""Precision that a threshold promises, and the tolerance of its measurement."""


@dataclass(frozen=True)
class Goal:
    """One goal.

    Attributes
    ----------
    at_least
        Whether the goal is a lower limit.
    """

    name: str
    goal: float
    measured: float | None
    detail: str = ""
    at_least: bool = True

    @property
    def verdict(self) -> str:
        """Whether the goal is reached, in words."""
        if self.measured is None:
            return "not measured"
        reached = (
            self.measured >= self.goal if self.at_least else self.measured <= self.goal
        )
        return "reached" if reached else "missed"

    @property
    def limit(self) -> str:
        """The goal with its direction, in words."""
        return f"{'at least' if self.at_least else 'at most'} {self.goal:g}"


def measured_goals(store: FlaggingStore) -> list[Goal]:
    """Return the goals that were measured so far."""
    return [goal for goal in all_goals(store) if goal.measured is not None]


def all_goals(store: FlaggingStore) -> Iterator[Goal]:
    """Yield all goals, measured or not."""
    cells = store.of(SINGLE)
    for kind in ("uniform", "realistic"):
        cell = _cell(cells, kind=kind, **MAIN)
        yield from _of_cell(kind, cell)
    yield from _of_poison(cells)
    yield from _of_series(store.of(SERIES))
    yield from _of_left_out(store.of(LEFT_OUT))
    cost: Mapping[str, Any] = next(iter(store.of(COST).values()), {})
    yield Goal(
        "Time that findings add",
        0.15,
        cost.get("added"),
        "DICOM files, by series",
        at_least=False,
    )


def _cell(cells: Mapping[str, Any], **setting: Any) -> Mapping[str, Any]:
    for cell in cells.values():
        if all(cell[name] == value for name, value in setting.items()):
            return dict(cell)
    return {}


def _ours(cell: Mapping[str, Any], tag: str, part: str = "all") -> Mapping[str, Any]:
    measured = cell.get("tags", {}).get(tag, {}).get("parts", {}).get(part, {})
    figures: Mapping[str, Any] = measured.get("methods", {}).get(OURS, {})
    return figures


def _of_cell(kind: str, cell: Mapping[str, Any]) -> Iterator[Goal]:
    least = {REGION: 0.96, MODALITY: 0.97}
    for tag, name in ((REGION, "region"), (MODALITY, "modality")):
        measures = _ours(cell, tag)
        for title, goal, column, at_least in (
            ("Average precision", least[tag], "average_precision", True),
            ("Recall at 1 % false alarms", 0.94, "recall_at_1_percent", True),
            ("Precision of flags", PRECISION - SLACK, "precision", True),
            ("Calibration error", 0.03, "calibration_error", False),
        ):
            full_name = f"{title}, {name}, {kind}"
            yield _goal(full_name, goal, measures, column, at_least=at_least)
        yield from _margin(kind, name, cell, tag)
    unifesp = _ours(cell, REGION, "UNIFESP")
    full_name = f"Average precision, region, UNIFESP alone, {kind}"
    yield _goal(full_name, 0.85, unifesp, "average_precision")


def _goal(
    name: str,
    goal: float,
    figures: Mapping[str, Any],
    column: str,
    *,
    at_least: bool = True,
) -> Goal:
    ends = figures.get(f"{column}_interval")
    detail = f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else ""
    return Goal(name, goal, figures.get(column), detail, at_least)


def _margin(kind: str, name: str, cell: Mapping[str, Any], tag: str) -> Iterator[Goal]:
    """Yield the lower end of Veritag's lead over the closest method."""
    part = cell.get("tags", {}).get(tag, {}).get("parts", {}).get("all", {})
    leads = {
        method: lead["average_precision"]
        for method, lead in part.get("above", {}).items()
        if "average_precision" in lead and method != UNGATED
    }
    if leads:
        closest = min(leads, key=lambda m: leads[m]["interval"][0])
        low, high = leads[closest]["interval"]
        yield Goal(
            f"Least lead in average precision, {name}, {kind}", 0.0, low,
            f"{closest}: {leads[closest]['difference']:+.3f}, {low:+.3f} to {high:+.3f}",
        )  # fmt: skip


def _of_poison(cells: Mapping[str, Any]) -> Iterator[Goal]:
    for tag, name in ((REGION, "region"), (MODALITY, "modality")):
        clean, poisoned = (
            _ours(_cell(cells, kind="uniform", poison=share, rate=0.05), tag)
            for share in (0.0, 0.2)
        )
        lost = None
        if clean and poisoned:
            lost = clean["average_precision"] - poisoned["average_precision"]
        yield Goal(
            f"Average precision lost at 20 % wrong in training, {name}", 0.05, lost,
            "against none wrong, uniform errors", at_least=False,
        )  # fmt: skip


def _of_series(results: Mapping[str, Any]) -> Iterator[Goal]:
    for groups in results.values():
        for group, tags in groups.items():
            for tag, result in tags.items():
                ours = result["methods"][OURS]
                yield Goal(
                    f"Recall of series, {group}, {'region' if tag == REGION else 'modality'}",
                    0.97,
                    ours["recall_at_1_per_1000"],
                    f"{result['series']} series: no false alarm allowed; their rate is at "
                    f"most {ours['rarer_than']:.1%}",
                )


def _of_left_out(results: Mapping[str, Any]) -> Iterator[Goal]:
    total = sum(result["left_out"] for result in results.values())
    if total:
        unknown = sum(
            r["left_out"] * r["left_out_at_2_percent"] for r in results.values()
        )
        yield Goal(
            "Left-out kinds recognized as unknown, at 2 % of known ones", 0.9, unknown / total,
            f"{total} images of: {', '.join(results)}",
        )  # fmt: skip
