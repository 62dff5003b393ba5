"""Comparison of all methods on single images, under the same injected errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.flagging.curves import curve, reliability
from benchmarks.flagging.images import (
    NEW_STATIONS,
    TAGS,
    BenchmarkImages,
    InjectedErrors,
    rounds,
)
from benchmarks.flagging.measures import (
    FIGURES,
    RANKED,
    Floats,
    Mask,
    ScoredValues,
    drawn_figures,
    figures,
    interval,
    unit_weights,
)
from benchmarks.flagging.methods import Method, MethodOutput
from benchmarks.flagging.models import OURS

JUDGED = "judged"
"""Part of the values of unseen patients that Veritag judges."""
INTERVAL_PARTS = ("all", "UNIFESP", "DICOM", NEW_STATIONS, JUDGED)
"""Parts with intervals for all methods; in others only Veritag has them."""
MIN_WRONG = 5
"""Fewest errors over all rounds of a part with measures."""


@dataclass(frozen=True)
class FlaggingCell:
    """One comparison: share of wrong tags in training, and errors in unseen images."""

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
    """Return the measures of every method, part and tag, ready for JSON."""
    seeds = [7919 * number + 13 for number in range(rounds(cell.rate))]
    errors = [images.errors(cell.kind, cell.rate, seed) for seed in seeds]
    outputs = {name: [m(e.received) for e in errors] for name, m in methods.items()}
    result: dict[str, Any] = {"rounds": len(errors), "tags": {}}
    for tag in TAGS:
        by_variant = {
            name: {
                variant: [output[tag][variant] for output in rounds_]
                for variant in rounds_[0][tag]
            }
            for name, rounds_ in outputs.items()
        }
        result["tags"][tag] = _tag_figures(tag, by_variant, errors, images, draws)
    return result


def _tag_figures(
    tag: str,
    by_variant: Mapping[str, Mapping[str, list[MethodOutput]]],
    errors: list[InjectedErrors],
    images: BenchmarkImages,
    draws: int,
) -> dict[str, Any]:
    present = images.right(tag) != ""
    parts = {name: mask & present for name, mask in images.parts().items()}
    best: dict[str, ScoredValues] = {}
    variants = {}
    for name, outputs in by_variant.items():
        scored = {v: stack_rounds(tag, o, errors, images) for v, o in outputs.items()}
        variants[name] = best_variant(scored, repeat_mask(parts["all"], len(errors)))
        best[name] = scored[variants[name]]
    result: dict[str, Any] = {"variants": variants, "parts": {}}
    masks = {name: repeat_mask(mask, len(errors)) for name, mask in parts.items()}
    if OURS in best:
        masks[JUDGED] = masks["all"] & best[OURS].judged
    for name, rows in masks.items():
        chosen = {m: s.part(rows) for m, s in best.items()}
        if chosen and next(iter(chosen.values())).wrong.sum() >= MIN_WRONG:
            result["parts"][name] = part_figures(chosen, name, draws)
    everything = {m: s.part(masks["all"]) for m, s in best.items()}
    result["curves"] = {m: curve(s) for m, s in everything.items()}
    result["reliability"] = {
        m: reliability(np.clip(s.score[s.judged], 0, 1), s.wrong[s.judged])
        for m, s in everything.items()
    }
    return result


def repeat_mask(mask: Mask, count: int) -> Mask:
    """Return a mask over images as a mask over the values of all rounds."""
    return np.tile(mask, count)


def stack_rounds(
    tag: str,
    outputs: list[MethodOutput],
    errors: list[InjectedErrors],
    images: BenchmarkImages,
) -> ScoredValues:
    """Return the scored values of all rounds, concatenated."""
    return ScoredValues(
        np.concatenate([o.score for o in outputs]),
        np.concatenate([o.flagged for o in outputs]),
        np.concatenate([o.judged for o in outputs]),
        np.concatenate([e.wrong[tag] for e in errors]),
        np.tile(images.patients, len(errors)),
    )


def best_variant(scored: Mapping[str, ScoredValues], rows: Mask) -> str:
    """Return the variant with the best average precision, which the report shows."""

    def precision(variant: str) -> float:
        part = scored[variant].part(rows)
        return float(
            figures(part, unit_weights(len(part.score)))["average_precision"][0]
        )

    return max(scored, key=precision)


def part_figures(
    scored: Mapping[str, ScoredValues], part: str, draws: int
) -> dict[str, Any]:
    """Return the measures of each method with intervals, and Veritag's lead."""
    first = next(iter(scored.values()))
    compared = part in INTERVAL_PARTS and draws > 0
    drawn = drawn_figures(
        scored if compared else {m: s for m, s in scored.items() if m == OURS},
        draws if compared or not part.startswith("kind") else 0,
        seed=1,
    )
    result: dict[str, Any] = {
        "values": len(first.wrong),
        "wrong": int(first.wrong.sum()),
        "patients": len(np.unique(first.patient)),
        "methods": {},
    }
    for name, one in scored.items():
        values = figures(one, unit_weights(len(one.score)))
        names = RANKED[:1] if part.startswith("kind") else FIGURES
        result["methods"][name] = _rounded(values, drawn.get(name, {}), names)
    if compared and OURS in scored:
        result["above"] = {
            name: _difference(result, drawn, name) for name in scored if name != OURS
        }
    return result


def _rounded(
    values: Mapping[str, Floats], drawn: Mapping[str, Floats], names: Sequence[str]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name in names:
        value = float(values[name][0])
        result[name] = None if np.isnan(value) else round(value, 4)
        ends = interval(drawn[name]) if name in drawn and len(drawn[name]) else None
        if ends is not None:
            result[f"{name}_interval"] = [round(end, 4) for end in ends]
    return result


def _difference(
    part: Mapping[str, Any], drawn: Mapping[str, Mapping[str, Floats]], name: str
) -> dict[str, Any]:
    """Return the lead of Veritag's ranking measures over another method, with intervals."""
    result = {}
    for figure in RANKED:
        ours, theirs = (part["methods"][m][figure] for m in (OURS, name))
        ends = interval(drawn[OURS][figure] - drawn[name][figure])
        if ours is not None and theirs is not None and ends is not None:
            result[figure] = {
                "difference": round(ours - theirs, 4),
                "interval": [round(end, 4) for end in ends],
            }
    return result
