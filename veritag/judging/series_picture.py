"""The pictures of a series together: clusters, probabilities of tag values, novelty."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from veritag.bundles.manifest import BundleManifest, TagCalibration
from veritag.findings import Finding, FindingCode, Severity, Verdict, VerdictStatus
from veritag.judging.manifest_tables import ManifestTables, tables_of
from veritag.judging.picture_kinds import SURE, set_apart
from veritag.judging.tag_probabilities import Floats, pooled, ranked, sharpened
from veritag.judging.tag_scores import is_known_kind, is_unfamiliar

_SHOWN = 5


@dataclass(frozen=True)
class SeriesPicture:
    """What the model computed for the pictures of a series.

    Attributes
    ----------
    inspected, known
        How many pictures were inspected, and how many are of a known kind.
    apart
        How many known ones are of another kind than the rest: left out below.
    verdicts
        Of the n pictures that the series is judged by.
    soft_assignment, tag_probability
        Of these pictures, of shape (n, K) and (n, width).
    """

    tables: ManifestTables
    inspected: int
    known: int
    apart: int
    verdicts: tuple[Verdict, ...]
    soft_assignment: Floats
    tag_probability: Floats

    @property
    def manifest(self) -> BundleManifest:
        """The bundle's manifest."""
        return self.tables.manifest

    @property
    def unknown_kind(self) -> bool:
        """Whether most of the pictures are of no kind that the bundle knows."""
        return 2 * self.known < self.inspected

    @property
    def judged(self) -> bool:
        """Whether the bundle judges the series at all."""
        return self.known > 0 and not self.unknown_kind

    @cached_property
    def unfamiliar(self) -> bool:
        """Whether most of the pictures are hardly like those that the bundle learnt.

        Their tags are ranked, and nothing is flagged or suggested.
        """
        far = is_unfamiliar(self.manifest, _novelty(self.verdicts))
        return bool(2 * far.sum() > len(far))

    def calibration(self, tag: str) -> TagCalibration | None:
        """Return the calibration of a tag that may be judged, None of others."""
        calibration = self.manifest.calibration.get(tag)
        if not self.judged or calibration is None or calibration.threshold is None:
            return None
        return calibration

    def probabilities(self, tag: str) -> Floats:
        """Return the probabilities of a tag's concepts by picture, of shape (n, V)."""
        return self.tag_probability[:, self.tables.columns[tag]]

    def pooled(self, tag: str) -> Floats:
        """Return the probabilities of a tag's concepts given all pictures, (V,)."""
        correlation = self.manifest.correlation.get(tag, 1.0)
        return pooled(self.probabilities(tag), correlation)

    def posterior(self, tag: str) -> dict[str, float] | None:
        """Return concept to probability, the most probable first.

        None of a tag that is not judged.
        """
        if self.calibration(tag) is None or tag not in self.tables.columns:
            return None
        return ranked(self.tables.values(tag), self.pooled(tag))

    @cached_property
    def shares(self) -> Floats:
        """Sharpened soft assignments of the pictures, of shape (n, K)."""
        return sharpened(self.soft_assignment, self.manifest.sharpness)

    @cached_property
    def weights(self) -> Floats:
        """The weight of each cluster in the series, of shape (K,)."""
        mean: Floats = self.shares.mean(axis=0)
        return mean

    def share_sure(self, tag: str, concept: str) -> float:
        """Return the share of pictures that are sure by themselves of a value.

        0 for a single picture, whose probabilities are those of the series.
        """
        if len(self.verdicts) == 1:
            return 0.0
        fit = self.tables.fit(tag)
        fits = np.array([fit(v, concept) == 1 for v in self.tables.values(tag)])
        return float((self.probabilities(tag)[:, fits].sum(axis=1) >= SURE).mean())

    def evidence(self, posterior: Mapping[str, float]) -> dict[str, Any]:
        """Return the evidence of an opinion as JSON values."""
        clusters = self.top_clusters()
        exemplars = self._exemplars()
        return {
            **self.counts(),
            "clusters": clusters,
            **({"exemplars": exemplars} if exemplars else {}),
            "posterior": [
                {"value": value, "probability": round(p, 4)}
                for value, p in itertools.islice(posterior.items(), _SHOWN)
            ],
        }

    def counts(self) -> dict[str, Any]:
        """Return the numbers of pictures: inspected, of a known kind, set apart."""
        apart = {"set_apart": self.apart} if self.apart else {}
        return {"instances": self.inspected, "known": self.known, **apart}

    def top_clusters(self) -> list[dict[str, Any]]:
        """Return the heaviest clusters of the series by their stable ids and names."""
        return [
            {
                "cluster": self.manifest.clusters[k].cluster_id,
                **({"name": name} if (name := self.manifest.clusters[k].name) else {}),
                "weight": round(float(self.weights[k]), 4),
            }
            for k in np.argsort(-self.weights, kind="stable")[:_SHOWN].tolist()
        ]

    def _exemplars(self) -> list[int]:
        return list(self.manifest.clusters[int(self.weights.argmax())].exemplars)

    def unknown_finding(self) -> list[Finding]:
        """Return the finding that the kind of picture is unknown, where it is."""
        if not self.unknown_kind:
            return []
        code = FindingCode.UNKNOWN_KIND
        evidence = self.counts()
        score = round(1 - self.known / self.inspected, 4)
        return [Finding(code, Severity.INFO, None, None, score, evidence=evidence)]


def picture_of(manifest: BundleManifest, verdicts: Sequence[Verdict]) -> SeriesPicture:
    """Return the pictures of the instances that the model inspected.

    A verdict whose arrays are not of this bundle's shape, or hold NaN or infinity,
    counts as not inspected.
    """
    tables = tables_of(manifest)
    clusters = len(manifest.clusters)
    candidates = [
        v
        for v in verdicts
        if v.status is VerdictStatus.INSPECTED
        and len(v.soft_assignment) == clusters
        and len(v.tag_probability) == tables.width
    ]
    q = _matrix([v.soft_assignment for v in candidates], clusters)
    rows = _matrix([v.tag_probability for v in candidates], tables.width)
    finite = np.isfinite(q).all(axis=1) & np.isfinite(rows).all(axis=1)
    known = np.flatnonzero(finite & is_known_kind(_novelty(candidates)))
    known_verdicts = [candidates[row] for row in known.tolist()]
    apart = set_apart(tables, known_verdicts, rows[known])
    kept = known[~apart]
    return SeriesPicture(
        tables,
        inspected=int(finite.sum()),
        known=len(known),
        apart=int(apart.sum()),
        verdicts=tuple(candidates[row] for row in kept.tolist()),
        soft_assignment=q[kept],
        tag_probability=rows[kept],
    )


def _novelty(verdicts: Sequence[Verdict]) -> Floats:
    """Return the novelty of pictures, NaN for none, of shape (n,)."""
    return np.array([v.novelty for v in verdicts], dtype=np.float64)


def _matrix(rows: Sequence[Sequence[float]], width: int) -> Floats:
    """Return rows as an array, faster than `numpy.array` of tuples."""
    flat = itertools.chain.from_iterable(rows)
    size = len(rows) * width
    return np.fromiter(flat, np.float64, count=size).reshape(len(rows), width)
