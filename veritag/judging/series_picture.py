"""What the model sees in a series, and how sure it is of a tag's value."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veritag.bundles.bundle import BundleManifest, TagCalibration
from veritag.findings import Finding, FindingCode, Severity, Verdict, VerdictStatus
from veritag.judging.manifest_tables import ManifestTables, tables_of
from veritag.judging.picture_kinds import SURE, set_apart
from veritag.judging.tag_probabilities import (
    Floats,
    pooled,
    ranked,
    series_posterior,
    sharpened,
)

_SHOWN = 5


@dataclass(frozen=True)
class SeriesPicture:
    """What the model sees in a series.

    Attributes
    ----------
    inspected, known
        Pictures that it looked at, and those of a kind that the bundle knows.
    apart
        Known ones that are of another kind than the rest: left out below.
    verdicts
        Of the n pictures that speak for the series.
    q, rows
        Their soft assignments (n, K) and tag probabilities (n, width).
    """

    tables: ManifestTables
    inspected: int
    known: int
    apart: int
    verdicts: tuple[Verdict, ...]
    q: Floats
    rows: Floats

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
        """Whether the model says anything of the series at all."""
        return self.known > 0 and not self.unknown_kind

    @cached_property
    def strange(self) -> bool:
        """Whether most of the pictures are hardly like those that the bundle learnt.

        They are ranked by what the model says, and nothing is flagged or suggested.
        """
        far = [(v.novelty or 0.0) > self.manifest.familiar for v in self.verdicts]
        return 2 * sum(far) > len(far)

    def calibration(self, tag: str) -> TagCalibration | None:
        """Return the calibration of a tag of which the model may say something."""
        calibration = self.manifest.calibration.get(tag)
        if not self.judged or calibration is None or calibration.threshold is None:
            return None
        return calibration

    def probabilities(self, tag: str) -> Floats:
        """Return what each picture says of a tag by itself, of shape (n, V)."""
        return self.rows[:, self.tables.columns[tag]]

    def posterior(self, tag: str) -> dict[str, float] | None:
        """Return the values that the picture suggests, None without an opinion."""
        if self.calibration(tag) is None:
            return None
        if tag not in self.tables.columns:
            return series_posterior(self.tables.profiles[tag], self.weights)
        together = pooled(
            self.probabilities(tag), self.manifest.correlation.get(tag, 1.0)
        )
        return ranked(self.tables.values(tag), together)

    @cached_property
    def shares(self) -> Floats:
        """How much each picture belongs to each cluster, sharpened, of shape (n, K)."""
        return sharpened(self.q, self.manifest.sharpness)

    @cached_property
    def weights(self) -> Floats:
        """The weight of each cluster in the series, of shape (K,)."""
        mean: Floats = self.shares.mean(axis=0)
        return mean

    def share_sure(self, tag: str, concept: str) -> float:
        """Return the share of pictures that are sure by themselves of a value.

        0 for a single picture, which says no more than the series, and for models that
        tell clusters only.
        """
        if tag not in self.tables.columns or len(self.rows) == 1:
            return 0.0
        fit = self.tables.fit(tag)
        fits = np.array([fit(v, concept) == 1 for v in self.tables.values(tag)])
        return float((self.probabilities(tag)[:, fits].sum(axis=1) >= SURE).mean())

    def evidence(self, posterior: Mapping[str, float]) -> dict[str, Any]:
        """Return what an opinion rests on, JSON-ready."""
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
        """Return how many pictures there are, known ones, and ones set apart."""
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
    """Return what the model saw in the instances that it inspected.

    A verdict that is not of this bundle's shape, or holds what is no number, counts as
    not inspected.
    """
    tables = tables_of(manifest)
    shape = len(manifest.clusters), tables.width
    seen = [v for v in verdicts if _shaped(v, shape)]
    q = _matrix([v.soft_assignment for v in seen], shape[0])
    rows = _matrix([v.tag_probability for v in seen] if shape[1] else [], shape[1])
    rows = rows if tables.width else np.empty((len(seen), 0))
    told = np.isfinite(q).all(axis=1) & np.isfinite(rows).all(axis=1)
    known = told & np.array([_known(v) for v in seen], dtype=bool)
    return _without_odd_ones(tables, int(told.sum()), known, seen, q, rows)


def _shaped(verdict: Verdict, shape: tuple[int, int]) -> bool:
    return (
        verdict.status is VerdictStatus.INSPECTED
        and len(verdict.soft_assignment) == shape[0]
        # Models that tell clusters only leave the rows empty.
        and (shape[1] == 0 or len(verdict.tag_probability) == shape[1])
    )


def _known(verdict: Verdict) -> bool:
    return verdict.novelty is not None and verdict.novelty <= 1


def _matrix(rows: Sequence[Sequence[float]], width: int) -> Floats:
    flat = itertools.chain.from_iterable(rows)
    size = len(rows) * width
    return np.fromiter(flat, np.float64, count=size).reshape(len(rows), width)


def _without_odd_ones(
    tables: ManifestTables,
    inspected: int,
    known: NDArray[np.bool_],
    seen: Sequence[Verdict],
    q: Floats,
    rows: Floats,
) -> SeriesPicture:
    of_known = [v for v, is_known in zip(seen, known.tolist(), strict=True) if is_known]
    kept = np.flatnonzero(known)
    stay = ~set_apart(tables, of_known, rows[kept])
    return SeriesPicture(
        tables,
        inspected,
        len(kept),
        int(len(kept) - stay.sum()),
        tuple(v for v, stays in zip(of_known, stay.tolist(), strict=True) if stays),
        q[kept[stay]],
        rows[kept[stay]],
    )
