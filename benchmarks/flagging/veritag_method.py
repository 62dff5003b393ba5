"""Veritag as a method: the bundle's graph, verdicts, and the judgement of a series."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.flagging.images import BenchmarkImages, ReceivedValues
from benchmarks.flagging.methods import MethodOutput, ProbabilityMethod, Variants
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
from worker.preparation import Prepared, prepare_dataset
from worker.verdicts import verdicts_of

IMAGE_FINDINGS = {
    FindingCode.TAG_CONTRADICTS_IMAGE,
    FindingCode.TAG_MISSING,
    FindingCode.TAG_TOO_COARSE,
    FindingCode.UNKNOWN_KIND,
    FindingCode.MIXED_SERIES,
}
"""Findings that rest on the picture, not on rules alone."""

Values = dict[str, str]
"""Tag to one received value."""


def image_verdicts(bundle: ModelBundle, images: BenchmarkImages) -> list[Verdict]:
    """Return the verdicts of the measured images, without tags."""
    prepared = [Prepared(VerdictStatus.INSPECTED, tile) for tile in images.tiles]
    outputs = Model(bundle).run(np.ascontiguousarray(images.tiles))
    return verdicts_of(bundle, prepared, outputs)


@dataclass(frozen=True)
class ImageOpinion:
    """Judgement of one received value of one image.

    Attributes
    ----------
    probability
        Probability that it is wrong; None where the model does not judge it.
    flagged, broken
        Whether there is a finding by the picture, and one by a rule.
    """

    probability: float | None
    flagged: bool
    broken: bool


@dataclass(frozen=True)
class Inspector:
    """Judge of the measured images under received tags; results are cached.

    Attributes
    ----------
    paths
        Files of the measured DICOM images, None for other pictures.
    """

    manifest: BundleManifest
    verdicts: Sequence[Verdict]
    paths: Sequence[Path | None]
    _cache: dict[tuple[object, ...], dict[str, ImageOpinion]] = field(
        default_factory=dict
    )

    def judge(self, rows: Sequence[int], received: Values) -> SeriesJudgement:
        """Return the judgement of images as one series, by their pictures alone."""
        tags = {tag: value for tag, value in received.items() if value}
        series = [replace(self.verdicts[row], tags=dict(tags)) for row in rows]
        return judge_series(self.manifest, series)

    def opinions(self, row: int, received: Values) -> dict[str, ImageOpinion]:
        """Return the judgements of one image, by tag."""
        key = row, *received.items()
        if key not in self._cache:
            self._cache[key] = self._opinions(row, received)
        return self._cache[key]

    def _opinions(self, row: int, received: Values) -> dict[str, ImageOpinion]:
        judged = self.judge([row], received)
        broken = {f.tag for f in self._rules(row, received) if by_rule(f)}
        probability = {j.tag: j.probability_wrong for j in judged.judgements}
        flagged = flagged_tags(judged)
        return {
            tag: ImageOpinion(probability.get(tag), tag in flagged, tag in broken)
            for tag in received
        }

    def _rules(self, row: int, received: Values) -> tuple[Finding, ...]:
        path = self.paths[row]
        verdict = self.verdicts[row]
        if path is not None:
            verdict = _with_tags(verdict, path, self.manifest, received)
        else:
            verdict = replace(verdict, tags={t: v for t, v in received.items() if v})
        return judge_series(self.manifest, [verdict]).findings


def _with_tags(
    verdict: Verdict, path: Path, manifest: BundleManifest, received: Values
) -> Verdict:
    """Return the verdict of a file with the received values, after its checks."""
    try:
        ds = open_instance(path)
    except UnusableInstance:
        return verdict
    for tag, value in received.items():
        if value:
            setattr(ds, tag, value)
    limit = Settings.model_fields["max_frame_mb"].default
    prepared = prepare_dataset(ds, manifest.preprocessing, max_frame_mb=limit)
    return replace(
        verdict,
        sop_class_uid=prepared.sop_class_uid,
        tags=prepared.tags,
        hints=prepared.hints,
        defects=prepared.defects,
        facts=prepared.facts,
    )


def by_rule(finding: Finding) -> bool:
    """Return whether a finding rests on rules alone."""
    return finding.code not in IMAGE_FINDINGS


def flagged_tags(judged: SeriesJudgement) -> set[str | None]:
    """Return the tags with a finding that the picture contradicts them."""
    code = FindingCode.TAG_CONTRADICTS_IMAGE
    return {f.tag for f in judged.findings if f.code is code}


@dataclass(frozen=True)
class VeritagMethod:
    """Probability that a received value is wrong, as in `veritag inspect`."""

    inspector: Inspector
    by_rules: bool = False

    def __call__(self, received: ReceivedValues) -> dict[str, Variants]:
        """Return the output for single images; the score is 0 where not judged."""
        opinions = [
            self.inspector.opinions(row, {t: str(received[t][row]) for t in received})
            for row in range(len(self.inspector.verdicts))
        ]
        return {tag: self._variants([one[tag] for one in opinions]) for tag in received}

    def _variants(self, opinions: Sequence[ImageOpinion]) -> Variants:
        if self.by_rules:
            broken = np.array([o.broken for o in opinions])
            return {"rules": MethodOutput(broken.astype(np.float64), broken, broken)}
        score = np.array([o.probability or 0.0 for o in opinions])
        flagged = np.array([o.flagged for o in opinions])
        judged = np.array([o.probability is not None for o in opinions])
        return {"probability": MethodOutput(score, flagged, judged)}


def ungated_method(inspector: Inspector) -> ProbabilityMethod | None:
    """Return the graph's own probabilities as a method, uncalibrated and for all values.

    None for a bundle whose graph has no tag probabilities.
    """
    concepts = inspector.manifest.concepts
    if not concepts:
        return None
    probabilities = np.array(
        [v.tag_probability for v in inspector.verdicts], dtype=np.float64
    )
    ends = np.cumsum([len(names) for names in concepts.values()])
    parts = zip(concepts, np.split(probabilities, ends[:-1], axis=1), strict=True)
    return ProbabilityMethod(dict(concepts), dict(parts))


def make_inspector(bundle: ModelBundle, images: BenchmarkImages) -> Inspector:
    """Return an inspector of the measured images."""
    paths = [
        images.paths[row] if sample.is_dicom else None
        for row, sample in zip(images.measured, images.samples, strict=True)
    ]
    return Inspector(bundle.manifest, image_verdicts(bundle, images), paths)
