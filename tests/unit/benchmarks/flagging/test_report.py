"""The report of the flagging benchmark, from made-up results."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.flagging.report.page import report_page
from benchmarks.flagging.report.tables import MeasureCell, heat_map, method_rows
from benchmarks.flagging.store import LEFT_OUT, SERIES, SINGLE, FlaggingStore
from tests.real_parts import require

SETUP = {
    "key": "1", "size": 32, "seed": 1, "recipe": "a < b", "bundle": None,
    "supervised_epochs": 1, "cleanlab": False,
    "images": {"training": 9, "calibration": 3, "unseen": 4, "new_stations": 2},
    "patients": {"unseen": 2, "new_stations": 1},
}  # fmt: skip


TEXTS = (
    "recipe a &lt; b",
    "<h2>Goals</h2>",
    "<h2>Single images, 5% wrong: uniform</h2>",
    "Region: 8 wrong of 40 values",
    "<small>0.800 to 1.000</small>",
    "AP +0.200 <small>-0.100 to +0.500</small> (chance)",
    "The UNIFESP radiographs alone",
    "uniform 0.05<br>Region",
    "background:hsl(205 60% 56%)",
    "<td>&lt;b&gt;",
    "<td class=n>30.00%",
    "<td>CR HAND<td class=n>5<td class=n>80.0%",
    "<tr><td>cleanlab<td colspan=10>not installed",
)


def measures(precision: float) -> dict[str, Any]:
    """Return measures of a method, with an interval of average precision."""
    return {
        "average_precision": precision,
        "average_precision_interval": [precision - 0.1, precision + 0.1],
        "recall_at_1_percent": None,
        "calibration_error": 1 - precision,
    }


def part() -> dict[str, Any]:
    """Return results of a part, in which Veritag is better than the CNN."""
    lead = {"difference": 0.2, "interval": [-0.1, 0.5]}
    return {
        "values": 40,
        "wrong": 8,
        "methods": {"supervised CNN": measures(0.7), "veritag": measures(0.9)},
        "above": {"supervised CNN": {"average_precision": lead}},
    }


def comparison(kind: str = "uniform") -> dict[str, Any]:
    """Return results of one comparison on one tag."""
    curve = [[0.5, 1.0], [1.0, 0.8]]
    bins = [{"probability": 0.5, "wrong": 0.4, "count": 5}]
    names = ("all", "UNIFESP", "region: <b>", "kind: CT <b>")
    tag = {
        "variants": {"supervised CNN": "1 - p"},
        "parts": {name: part() for name in names},
        "curves": {"veritag": curve, "supervised CNN": curve},
        "reliability": {"veritag": bins, "supervised CNN": bins},
    }
    tags = {"BodyPartExamined": tag, "Modality": tag}
    return {"kind": kind, "rate": 0.05, "poison": 0.05, "rounds": 8, "tags": tags}


@pytest.fixture
def store(tmp_path: Path) -> FlaggingStore:
    """Results of two comparisons, of series and of a kind left out."""
    require(find_spec("matplotlib"), "matplotlib is not installed")
    store = FlaggingStore(tmp_path, SETUP)
    for kind in ("uniform", "stations"):
        store.add(SINGLE, f"poison 0.05, {kind} 0.05", comparison(kind))
    recall = {
        "wrong": 6, "recall_at_1_per_1000": None, "flagged_right": 0,
        "flagged_wrong": 5, "rarer_than": 0.3,
    }  # fmt: skip
    series = {"series": 9, "methods": {"veritag": recall}}
    store.add(SERIES, "poison 0.05", {"real": {"Modality": series}})
    left_out = {
        "left_out": 5, "unknown_among_left_out": 0.8, "unknown_among_known": 0.01,
        "left_out_at_2_percent": 1.0, "area_under_curve": 0.99,
    }  # fmt: skip
    store.add(LEFT_OUT, "CR HAND", left_out)
    return store


def test_the_page_shows_the_results(store: FlaggingStore) -> None:
    """Each kind of result is on the page, with names escaped."""
    page = report_page(store)
    assert [text for text in TEXTS if text not in page] == []


def test_a_page_without_results_has_the_methods_only(tmp_path: Path) -> None:
    """Sections without results are left out."""
    page = report_page(FlaggingStore(tmp_path, SETUP))
    assert "<h2>Methods</h2>" in page
    assert page.count("<h2>") == 1


def test_the_best_measure_is_marked() -> None:
    """Veritag is the first row; a star marks the best value of a column."""
    first, second = method_rows(part(), {})
    assert first.is_ours
    assert first.cells[0] == MeasureCell("0.900 *", "0.800 to 1.000")
    assert second.cells[0] == MeasureCell("0.700", "0.600 to 0.800")
    assert first.cells[1] == MeasureCell("-")


def test_the_heat_map_has_gaps_where_there_are_no_images() -> None:
    """Regions are rows, modalities columns."""
    table = heat_map({"kind: CT HEAD": part(), "kind: MR KNEE": part()})
    assert table.columns == ["CT", "MR"]
    assert [[cell is None for cell in cells] for _, cells in table.rows] == [
        [False, True],
        [True, False],
    ]
