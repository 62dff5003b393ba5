"""Public ids of clusters, stable over retrains, and their names.

Pure functions; N images, K clusters.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count

import numpy as np
from scipy.optimize import linear_sum_assignment

from veritag.bundles.manifest import BundleManifest, ClusterProfile
from veritag.judging.tag_probabilities import Floats

LEAST_OVERLAP = 0.2
"""Least Jaccard index of a new cluster with the old one that it succeeds."""
NEXT_ID = "next_cluster_id"

MAIN_SHARE = 0.7
"""Least share of a value that names a cluster alone."""
PART_SHARE = 0.2
"""Least share of a value that is named in a mixed cluster."""
PLANE_SHARE = 0.8
NO_TAGS = "unnamed"


def overlaps(old_q: Floats, new_q: Floats) -> Floats:
    """Return the Jaccard index of every old and new cluster, of shape (K_old, K_new).

    Parameters
    ----------
    old_q, new_q
        Soft assignments of the same images, of shapes (N, K_old) and (N, K_new); each
        image counts for its most probable cluster.
    """
    shape = old_q.shape[1], new_q.shape[1]
    table = np.zeros(shape)
    np.add.at(table, (old_q.argmax(axis=1), new_q.argmax(axis=1)), 1.0)
    union = table.sum(axis=1, keepdims=True) + table.sum(axis=0) - table
    result: Floats = np.divide(table, union, out=np.zeros(shape), where=union > 0)
    return result


def matched_ids(
    old_q: Floats, new_q: Floats, old_ids: Sequence[int], next_id: int
) -> tuple[int, ...]:
    """Return a public id for each new cluster, in their order.

    A successor keeps the id of the old cluster. Successors are matched by the Hungarian
    method, which maximizes the sum of overlaps; other clusters get `next_id` and
    upwards.
    """
    gain = overlaps(old_q, new_q)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    ids = {
        int(new): old_ids[old]
        for old, new in zip(rows.tolist(), columns.tolist(), strict=True)
        # A smaller overlap is no successor: the id would get another meaning.
        if gain[old, new] >= LEAST_OVERLAP
    }
    fresh = count(next_id)
    return tuple(ids[k] if k in ids else next(fresh) for k in range(new_q.shape[1]))


def next_cluster_id(manifest: BundleManifest) -> int:
    """Return the least id that neither this bundle nor an earlier one used."""
    used = max((c.cluster_id for c in manifest.clusters), default=-1) + 1
    return max(used, int(manifest.lineage.get(NEXT_ID, 0)))


def with_identity(
    clusters: Sequence[ClusterProfile], ids: Sequence[int]
) -> tuple[ClusterProfile, ...]:
    """Return the clusters with these public ids, and with names."""
    numbered = [replace(c, cluster_id=i) for c, i in zip(clusters, ids, strict=True)]
    names = cluster_names(numbered)
    return tuple(replace(c, name=names[c.cluster_id]) for c in numbered)


def cluster_names(clusters: Sequence[ClusterProfile]) -> dict[int, str]:
    """Return public id to name, each name once.

    Clusters of one description are numbered in the order of their ids.
    """
    descriptions = {c.cluster_id: description(c) for c in clusters}
    totals = Counter(descriptions.values())
    numbers: Counter[str] = Counter()
    names = {}
    # By id: new clusters have higher ones, and do not renumber the older ones.
    for cluster_id, text in sorted(descriptions.items()):
        numbers[text] += 1
        names[cluster_id] = f"{text} {numbers[text]}" if totals[text] > 1 else text
    return names


def description(cluster: ClusterProfile) -> str:
    """Return the prevailing tags of a cluster, such as `MR head sagittal`."""
    modality = _prevailing(cluster.profiles.get("Modality", {}))
    region = _prevailing(cluster.profiles.get("BodyPartExamined", {}))
    words = ["/".join(modality), "/".join(region).lower(), _plane(cluster)]
    mixed = len(modality) > 1 or len(region) > 1
    text = " ".join(word for word in words if word)
    return f"mixed {text}" if text and mixed else text or NO_TAGS


def _prevailing(shares: Mapping[str, float]) -> list[str]:
    """Return the value that prevails, else the two most frequent ones."""
    ranked = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    if ranked and ranked[0][1] >= MAIN_SHARE:
        return [ranked[0][0]]
    return [value for value, share in ranked[:2] if share >= PART_SHARE]


def _plane(cluster: ClusterProfile) -> str:
    """Return the plane of nearly all images, if most of them carry one."""
    tag = "ImageOrientationPatient"
    support = cluster.support.get(tag, 0.0)
    if 2 * support < cluster.support.get("Modality", 0.0):
        return ""
    planes = cluster.profiles.get(tag, {})
    return next((p.lower() for p, s in planes.items() if s >= PLANE_SHARE), "")
