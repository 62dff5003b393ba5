"""The report on series, on kinds never met, and on cost."""

from collections.abc import Mapping
from html import escape
from typing import Any

from benchmarks.flagging.models import OURS
from benchmarks.flagging.report.tables import NAMES

SERIES_HEAD = (
    "<h2>Series of five images and more</h2><p>Recall where at most one right series "
    "in 1,000 is flagged. Where there are fewer than 1,000 series, none may be; "
    "false alarms are then rarer than the last column with 95 % confidence only. "
    "Series put together are single images of one source and kind: they repeat one "
    "another less than slices do, which flatters every method.</p>"
    "<table><tr><th>Series<th>Tag<th>Method<th>Right<th>Wrong<th>Recall"
    "<th>Flags: right<th>Flags: wrong<th>False alarms rarer than</tr>"
)
LEFT_OUT_HEAD = (
    "<h2>Kinds that training never met</h2><p>A bundle of a smaller training without "
    "each kind: how many of its images are answered as of an unknown kind, and how "
    "many unseen images of the other kinds.</p><table><tr><th>Kind<th>Images"
    "<th>Unknown<th>Unknown among known<th>Unknown at 2 % among known<th>AUC</tr>"
)


def series_section(results: Mapping[str, Any]) -> str:
    """Return the recall of whole series."""
    if not results:
        return ""
    lines = [SERIES_HEAD]
    for result in results.values():
        for group, tags in result.items():
            for tag, told in tags.items():
                lines += [
                    _series_row(group, tag, told["series"], name, figures)
                    for name, figures in told["methods"].items()
                ]
    return "\n".join([*lines, "</table>"])


def _series_row(
    group: str, tag: str, count: int, name: str, figures: Mapping[str, Any]
) -> str:
    recall, rare = figures["recall_at_1_per_1000"], figures["rarer_than"]
    return (
        f"<tr{' class=ours' if name == OURS else ''}><td>{group}<td>{NAMES[tag]}"
        f"<td>{escape(name)}<td class=n>{count}<td class=n>{figures['wrong']}"
        f"<td class=n>{'-' if recall is None else f'{recall:.3f}'}"
        f"<td class=n>{figures['flagged_right']}<td class=n>{figures['flagged_wrong']}"
        f"<td class=n>{rare:.2%}</tr>"
    )


def left_out_section(results: Mapping[str, Any]) -> str:
    """Return how kinds that training never met are answered."""
    if not results:
        return ""
    lines = [LEFT_OUT_HEAD]
    lines += [
        f"<tr><td>{escape(kind)}<td class=n>{told['strangers']}"
        f"<td class=n>{told['unknown_among_strangers']:.1%}"
        f"<td class=n>{told['unknown_among_known']:.1%}"
        f"<td class=n>{told['strangers_at_2_percent']:.1%}"
        f"<td class=n>{told['area_under_curve']:.3f}</tr>"
        for kind, told in results.items()
    ]
    return "\n".join([*lines, "</table>"])


def cost_section(results: Mapping[str, Any]) -> str:
    """Return the time that findings add."""
    told = next(iter(results.values()), None)
    if not told or not told["files"]:
        return ""
    low, high = told["added_range"]
    return (
        "<h2>What findings cost</h2><p>Per instance, on one thread, over "
        f"{told['files']} DICOM files of {told['series']} series: reading, tile and "
        f"model {told['bare_ms']:.2f} ms; tags, hints and checks "
        f"{told['checks_ms']:.2f} ms; verdict {told['verdict_ms']:.2f} ms; judging "
        f"{told['judging_ms']:.2f} ms. Findings add {told['added']:.1%} "
        f"({low:.1%} to {high:.1%}).</p>"
    )
