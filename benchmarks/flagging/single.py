"""Single images: every method under the same injected errors, and how they compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.flagging.images import (
    NEW_STATIONS,
    TAGS,
    BenchmarkImages,
    Errors,
    rounds,
)
from benchmarks.flagging.measures import (
    FIGURES,
    RANKED,
    Floats,
    Mask,
    Scored,
    drawn_figures,
    figures,
    interval,
    once,
)
from benchmarks.flagging.methods import Method, Said
from benchmarks.flagging.models import OURS
from benchmarks.flagging.report.curves import curve, reliability

JUDGED = "judged"
"""Values of unseen patients of which ours has an opinion."""
DRAWN_PARTS = ("all", "UNIFESP", "DICOM", NEW_STATIONS, JUDGED)
"""Parts whose every method gets intervals; of the others only ours does."""
LEAST_WRONG = 5
"""Errors over all rounds under which a part tells nothing."""


@dataclass(frozen=True)
class FlaggingCell:
    """One comparison: wrong tags in training, and the errors injected on unseen images."""

    poison: float
    kind: str
    rate: float

    @property
    def key(self) -> str:
        """Name in the results."""
        return f"poison {self.poison:g}, {self.kind} {self.rate:g}"


def run_cell(
    cell: FlaggingCell,
    images: BenchmarkImages,
    methods: Mapping[str, Method],
    draws: int,
) -> dict[str, Any]:
    """Return the figures of every method, part and tag, JSON-ready."""
    seeds = [7919 * number + 13 for number in range(rounds(cell.rate))]
    errors = [images.errors(cell.kind, cell.rate, seed) for seed in seeds]
    said = {name: [m(e.received) for e in errors] for name, m in methods.items()}
    told: dict[str, Any] = {"rounds": len(errors), "tags": {}}
    for tag in TAGS:
        by_way = {
            name: {
                way: [one[tag][way] for one in per_round] for way in per_round[0][tag]
            }
            for name, per_round in said.items()
        }
        told["tags"][tag] = _tag_figures(tag, by_way, errors, images, draws)
    return told


def _tag_figures(
    tag: str,
    by_way: Mapping[str, Mapping[str, list[Said]]],
    errors: list[Errors],
    images: BenchmarkImages,
    draws: int,
) -> dict[str, Any]:
    carried = images.right(tag) != ""
    parts = {name: mask & carried for name, mask in images.parts().items()}
    best: dict[str, Scored] = {}
    ways = {}
    for name, said in by_way.items():
        scored = {way: stacked(tag, s, errors, images) for way, s in said.items()}
        ways[name] = best_way(scored, tiled(parts["all"], len(errors)))
        best[name] = scored[ways[name]]
    result: dict[str, Any] = {"ways": ways, "parts": {}}
    masks = {name: tiled(mask, len(errors)) for name, mask in parts.items()}
    if OURS in best:
        masks[JUDGED] = masks["all"] & best[OURS].opinion
    for name, rows in masks.items():
        chosen = {m: s.part(rows) for m, s in best.items()}
        if chosen and next(iter(chosen.values())).wrong.sum() >= LEAST_WRONG:
            result["parts"][name] = part_figures(chosen, name, draws)
    everything = {m: s.part(masks["all"]) for m, s in best.items()}
    result["curves"] = {m: curve(s) for m, s in everything.items()}
    result["reliability"] = {
        m: reliability(np.clip(s.score[s.opinion], 0, 1), s.wrong[s.opinion])
        for m, s in everything.items()
    }
    return result


def tiled(mask: Mask, count: int) -> Mask:
    """Return a mask over images as one over all rounds' values."""
    return np.tile(mask, count)


def stacked(
    tag: str, said: list[Said], errors: list[Errors], images: BenchmarkImages
) -> Scored:
    """Return what is said in all rounds, one after the other."""
    return Scored(
        np.concatenate([s.score for s in said]),
        np.concatenate([s.flagged for s in said]),
        np.concatenate([s.opinion for s in said]),
        np.concatenate([e.wrong[tag] for e in errors]),
        np.tile(images.patients, len(errors)),
    )


def best_way(scored: Mapping[str, Scored], rows: Mask) -> str:
    """Return the way of saying that ranks best; no method is shown below its best."""

    def rank(way: str) -> float:
        part = scored[way].part(rows)
        return float(figures(part, once(len(part.score)))["average_precision"][0])

    return max(scored, key=rank)


def part_figures(scored: Mapping[str, Scored], part: str, draws: int) -> dict[str, Any]:
    """Return method to figures with intervals, and how ours differs from the others."""
    first = next(iter(scored.values()))
    compared = part in DRAWN_PARTS and draws > 0
    drawn = drawn_figures(
        scored if compared else {m: s for m, s in scored.items() if m == OURS},
        draws if compared or not part.startswith("kind") else 0,
        seed=1,
    )
    told: dict[str, Any] = {
        "values": len(first.wrong),
        "wrong": int(first.wrong.sum()),
        "patients": len(np.unique(first.patient)),
        "methods": {},
    }
    for name, one in scored.items():
        values = figures(one, once(len(one.score)))
        kept = RANKED[:1] if part.startswith("kind") else FIGURES
        told["methods"][name] = _told(values, drawn.get(name, {}), kept)
    if compared and OURS in scored:
        told["above"] = {
            name: _difference(told, drawn, name) for name in scored if name != OURS
        }
    return told


def _told(
    values: Mapping[str, Floats], drawn: Mapping[str, Floats], kept: Sequence[str]
) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name in kept:
        value = float(values[name][0])
        told[name] = None if np.isnan(value) else round(value, 4)
        found = interval(drawn[name]) if name in drawn and len(drawn[name]) else None
        if found is not None:
            told[f"{name}_interval"] = [round(end, 4) for end in found]
    return told


def _difference(
    told: Mapping[str, Any], drawn: Mapping[str, Mapping[str, Floats]], name: str
) -> dict[str, Any]:
    """Return how far our ranking figures are above another method's, patient by patient."""
    result = {}
    for figure in RANKED:
        ours, theirs = (told["methods"][m][figure] for m in (OURS, name))
        found = interval(drawn[OURS][figure] - drawn[name][figure])
        if ours is not None and theirs is not None and found is not None:
            result[figure] = {
                "difference": round(ours - theirs, 4),
                "interval": [round(end, 4) for end in found],
            }
    return result
