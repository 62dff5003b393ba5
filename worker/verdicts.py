"""Verdicts of instances from what the model computed for their pictures."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veritag.bundles.bundle import ModelBundle
from veritag.bundles.graph import GraphOutputs
from veritag.findings import Verdict, VerdictStatus
from veritag.judging.tag_probabilities import sharpened
from worker.preparation import Prepared


def verdict_without_picture(bundle: ModelBundle, prepared: Prepared) -> Verdict:
    """Return the verdict of an instance that has no readable picture."""
    return Verdict(
        bundle.bundle_id,
        prepared.status,
        prepared.sop_class_uid,
        prepared.tags,
        reason=prepared.reason,
        hints=prepared.hints,
        defects=prepared.defects,
        facts=prepared.facts,
    )


def verdicts_of(
    bundle: ModelBundle,
    prepared: list[Prepared],
    outputs: GraphOutputs[NDArray[Any]],
) -> list[Verdict]:
    """Return the verdicts of pictures from what the model computed for them.

    The cluster's probability is the sharpened soft assignment, by which clusters are
    weighed in a series; the verdict keeps q as the model computes it.
    """
    manifest = bundle.manifest
    # Rounded as one array: number by number takes far longer.
    q = outputs.soft_assignment.astype(np.float64)
    weights = sharpened(q, manifest.sharpness)
    nearest = outputs.distance.argmin(axis=1).tolist()
    rows = zip(
        prepared,
        nearest,
        weights[range(len(nearest)), nearest],
        outputs.novelty.tolist(),
        np.round(q, 6).tolist(),
        outputs.tag_probability.tolist(),
        outputs.neighbors.tolist(),
        strict=True,
    )
    return [
        Verdict(
            bundle.bundle_id,
            VerdictStatus.INSPECTED,
            one.sop_class_uid,
            one.tags,
            cluster=manifest.clusters[cluster].cluster_id,
            cluster_probability=_finite(weight),
            novelty=_finite(novelty),
            soft_assignment=tuple(soft_assignment),
            tag_probability=tuple(tag_probability),
            neighbors=tuple(neighbors),
            hints=one.hints,
            defects=one.defects,
            facts=one.facts,
        )
        for (
            one, cluster, weight, novelty, soft_assignment, tag_probability, neighbors,
        ) in rows
    ]  # fmt: skip


def _finite(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None
