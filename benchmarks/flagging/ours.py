"""The product's own path: the bundle's graph, verdicts, and the judgement of a series."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.flagging.images import BenchmarkImages, Received
from benchmarks.flagging.methods import ByProbability, Said, Ways
from veritag.bundles.bundle import ModelBundle
from veritag.bundles.manifest import BundleManifest
from veritag.dicom.read_instance import open_instance
from veritag.errors import UnusableInstance
from veritag.findings import (
    Finding,
    FindingCode,
    SeriesJudgement,
    Verdict,
    VerdictStatus,
)
from veritag.judging.judge import judge_series
from veritag.settings import Settings
from worker.inference import Model
from worker.inspection import verdicts
from worker.preparation import Prepared, prepare_dataset

BY_THE_PICTURE = {
    FindingCode.TAG_CONTRADICTS_IMAGE,
    FindingCode.TAG_MISSING,
    FindingCode.TAG_TOO_COARSE,
    FindingCode.UNKNOWN_KIND,
    FindingCode.MIXED_SERIES,
}
"""Findings that the rules alone do not make."""

Values = dict[str, str]
"""Tag to one received value."""


def seen_by(bundle: ModelBundle, images: BenchmarkImages) -> list[Verdict]:
    """Return the verdicts of the measured images, without any tag."""
    prepared = [Prepared(VerdictStatus.INSPECTED, tile) for tile in images.tiles]
    said = Model(bundle).run(np.ascontiguousarray(images.tiles))
    return verdicts(bundle, prepared, said)


@dataclass(frozen=True)
class OurOpinion:
    """What is said of one received value: by the picture, and by rules.

    Attributes
    ----------
    probability
        That it is wrong; None where the model does not judge it.
    flagged, broken
        Whether there is a finding by the picture, or by a rule.
    """

    probability: float | None
    flagged: bool
    broken: bool


@dataclass(frozen=True)
class Inspector:
    """Judges images of a bundle's verdicts under received tags, each case once.

    Attributes
    ----------
    paths
        Files of the measured images that are DICOM, None for other pictures.
    """

    manifest: BundleManifest
    seen: Sequence[Verdict]
    paths: Sequence[Path | None]
    _judged: dict[tuple[object, ...], dict[str, OurOpinion]] = field(
        default_factory=dict
    )

    def judge(self, rows: Sequence[int], received: Values) -> SeriesJudgement:
        """Return what is said of images as one series, by their pictures alone."""
        tags = {tag: value for tag, value in received.items() if value}
        series = [replace(self.seen[row], tags=dict(tags)) for row in rows]
        return judge_series(self.manifest, series)

    def opinions(self, row: int, received: Values) -> dict[str, OurOpinion]:
        """Return tag to what is said of one image."""
        key = row, *received.items()
        if key not in self._judged:
            self._judged[key] = self._opinions(row, received)
        return self._judged[key]

    def _opinions(self, row: int, received: Values) -> dict[str, OurOpinion]:
        judged = self.judge([row], received)
        broken = {f.tag for f in self._rules(row, received) if by_rule(f)}
        probability = {j.tag: j.probability_wrong for j in judged.judgements}
        flagged = flagged_tags(judged)
        return {
            tag: OurOpinion(probability.get(tag), tag in flagged, tag in broken)
            for tag in received
        }

    def _rules(self, row: int, received: Values) -> tuple[Finding, ...]:
        path = self.paths[row]
        whole = self.seen[row]
        if path is not None:
            whole = _with_tags(whole, path, self.manifest, received)
        else:
            whole = replace(whole, tags={t: v for t, v in received.items() if v})
        return judge_series(self.manifest, [whole]).findings


def _with_tags(
    verdict: Verdict, path: Path, manifest: BundleManifest, received: Values
) -> Verdict:
    """Return the verdict of a file that came with other values, its rules applied."""
    try:
        ds = open_instance(path)
    except UnusableInstance:
        return verdict
    for tag, value in received.items():
        if value:
            setattr(ds, tag, value)
    limit = Settings.model_fields["max_frame_mb"].default
    told = prepare_dataset(ds, manifest.preprocessing, max_frame_mb=limit)
    return replace(
        verdict,
        sop_class_uid=told.sop_class_uid,
        tags=told.tags,
        hints=told.hints,
        defects=told.defects,
        facts=told.facts,
    )


def by_rule(finding: Finding) -> bool:
    """Tell whether a finding is made by rules alone."""
    return finding.code not in BY_THE_PICTURE


def flagged_tags(judged: SeriesJudgement) -> set[str | None]:
    """Return the tags that the picture is found to contradict."""
    wanted = FindingCode.TAG_CONTRADICTS_IMAGE
    return {f.tag for f in judged.findings if f.code is wanted}


@dataclass(frozen=True)
class Ours:
    """The probability that a received value is wrong, as `veritag inspect` prints it."""

    inspector: Inspector
    by_rules: bool = False

    def __call__(self, received: Received) -> dict[str, Ways]:
        """Return what single images get; without opinion the score is 0."""
        told = [
            self.inspector.opinions(row, {t: str(received[t][row]) for t in received})
            for row in range(len(self.inspector.seen))
        ]
        return {tag: self._ways([one[tag] for one in told]) for tag in received}

    def _ways(self, told: Sequence[OurOpinion]) -> Ways:
        if self.by_rules:
            broken = np.array([o.broken for o in told])
            return {"rules": Said(broken.astype(np.float64), broken, broken)}
        score = np.array([o.probability or 0.0 for o in told])
        flagged = np.array([o.flagged for o in told])
        opinion = np.array([o.probability is not None for o in told])
        return {"probability": Said(score, flagged, opinion)}


def without_gates(inspector: Inspector) -> ByProbability | None:
    """Return what the graph says of every value, judged or not, calibrated or not.

    None for a bundle whose graph tells clusters only.
    """
    concepts = inspector.manifest.concepts
    if not concepts:
        return None
    told = np.array([v.tag_probability for v in inspector.seen], dtype=np.float64)
    ends = np.cumsum([len(names) for names in concepts.values()])
    parts = zip(concepts, np.split(told, ends[:-1], axis=1), strict=True)
    return ByProbability(dict(concepts), dict(parts))


def inspector_of(bundle: ModelBundle, images: BenchmarkImages) -> Inspector:
    """Return the judge of the measured images by a bundle."""
    paths = [
        images.paths[row] if sample.is_dicom else None
        for row, sample in zip(images.measured, images.samples, strict=True)
    ]
    return Inspector(bundle.manifest, seen_by(bundle, images), paths)
