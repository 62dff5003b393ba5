"""What the model sees in a series, and how sure it is of a tag's value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veritag.bundle import BundleManifest
from veritag.concepts import Relation, relation
from veritag.findings import (
    ExpectedValue,
    Finding,
    FindingCode,
    Severity,
    Verdict,
    VerdictStatus,
)
from veritag.profiles import series_posterior, series_weights

CONFIDENT = 0.95
"""Probability that a value must have before it is suggested.

High, because it is not calibrated: of the suggestions that the starter bundle would make
at 0.8 on real series, nearly half are wrong.
"""

_SHOWN = 5


@dataclass(frozen=True)
class SeriesPicture:
    """What the model sees in a series.

    `q` holds the soft assignments of its known instances, of shape (known, K).
    """

    manifest: BundleManifest
    inspected: int
    q: NDArray[np.float64]

    @property
    def known(self) -> int:
        """How many instances are of a kind that the bundle knows."""
        return len(self.q)

    @property
    def unknown_kind(self) -> bool:
        """Whether most of the pictures are of no kind that the bundle knows."""
        return 2 * self.known < self.inspected

    @property
    def judged(self) -> bool:
        """Whether the model says anything of the series at all."""
        return self.known > 0 and not self.unknown_kind

    def posterior(self, tag: str) -> dict[str, float] | None:
        """Return the values that the picture suggests, None without an opinion."""
        calibration = self.manifest.calibration.get(tag)
        if not self.judged or calibration is None or calibration.threshold is None:
            return None
        return series_posterior(
            self.manifest.clusters, self.manifest.sharpness, self.q, tag
        )

    def evidence(self, posterior: Mapping[str, float]) -> dict[str, Any]:
        """Return what an opinion rests on, JSON-ready."""
        return {
            **self.counts(),
            "clusters": self.top_clusters(),
            "posterior": [
                {"value": value, "probability": round(p, 4)}
                for value, p in list(posterior.items())[:_SHOWN]
            ],
        }

    def counts(self) -> dict[str, Any]:
        """Return how many pictures there are and how many of a known kind."""
        return {"instances": self.inspected, "known": self.known}

    def top_clusters(self) -> list[dict[str, Any]]:
        """Return the heaviest clusters of the series by their stable ids and names."""
        weights = series_weights(self.q, self.manifest.sharpness)
        heaviest = [(k, self.manifest.clusters[k]) for k in np.argsort(-weights)]
        return [
            {
                "cluster": cluster.cluster_id,
                **({"name": cluster.name} if cluster.name else {}),
                "weight": round(float(weights[k]), 4),
            }
            for k, cluster in heaviest[:_SHOWN]
        ]

    def unknown_finding(self) -> list[Finding]:
        """Return the finding that the kind of picture is unknown, where it is."""
        if not self.unknown_kind:
            return []
        code = FindingCode.UNKNOWN_KIND
        evidence = self.counts()
        score = round(1 - self.known / self.inspected, 4)
        return [Finding(code, Severity.INFO, None, None, score, evidence=evidence)]


def picture_of(manifest: BundleManifest, verdicts: Sequence[Verdict]) -> SeriesPicture:
    """Return what the model saw in the instances that it inspected."""
    seen = [
        v
        for v in verdicts
        if v.status is VerdictStatus.INSPECTED
        and len(v.soft_assignment) == len(manifest.clusters)
    ]
    known = [
        v.soft_assignment for v in seen if v.novelty is not None and v.novelty <= 1
    ]
    q = np.array(known, dtype=np.float64).reshape(len(known), len(manifest.clusters))
    return SeriesPicture(manifest, len(seen), q)


def suggestion(
    tag: str, posterior: Mapping[str, float], candidates: Sequence[str]
) -> ExpectedValue | None:
    """Return the finest candidate of which the picture is confident, None without one.

    What is part of a candidate speaks for it: BRAIN and HEAD together make HEAD sure.
    """
    sure = [
        (belief, -posterior[value], value)
        for value in candidates
        if (belief := _belief(tag, posterior, value)) >= CONFIDENT
    ]
    if not sure:
        return None
    belief, _, value = min(sure)
    return ExpectedValue(value, round(min(belief, 1.0), 4))


def _belief(tag: str, posterior: Mapping[str, float], value: str) -> float:
    counted = {Relation.EQUAL, Relation.NARROWER}
    if tag == "Modality":
        # CR and DX show the same: together they are sure of either.
        counted.add(Relation.OVERLAPS)
    return sum(p for v, p in posterior.items() if relation(tag, v, value) in counted)
