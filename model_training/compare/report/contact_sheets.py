"""Contact sheet of clusters: the most typical unseen images of each, and their kinds."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from model_training.compare.comparison_store import ComparisonStore
from model_training.compare.images.patient_split import PatientSplit
from model_training.compare.metrics import kinds_of_cluster
from model_training.compare.report.plots import PagePicture, tile_picture
from model_training.compare.report.summary import label
from model_training.network.clustering import squared_distances

SHOWN = "veritag"
TILES = 8
KINDS = 5


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One cluster: its number, how many unseen images it holds, the nearest, the kinds."""

    number: int
    images: int
    pictures: tuple[PagePicture, ...]
    kinds: str


@dataclass(frozen=True, slots=True)
class ContactSheet:
    """The clusters of a method, the largest first, and how many are empty."""

    method: str
    clusters: tuple[SheetRow, ...]
    empty: int


def contact_sheet(store: ComparisonStore, images: PatientSplit) -> ContactSheet | None:
    """Return the clusters of the default recipe; None where its run is not stored."""
    outcome, unseen = store.embedding(SHOWN), images.unseen
    if outcome is None or len(outcome.labels) != len(unseen):
        return None
    if outcome.centers is None or not outcome.centers.size:
        return None
    squared = squared_distances(outcome.embedding, outcome.centers)
    sizes = np.bincount(outcome.labels, minlength=len(outcome.centers))
    rows = []
    for k in np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)].tolist():
        own = np.flatnonzero(outcome.labels == k)
        nearest = own[np.argsort(squared[own, k])][:TILES]
        pictures = tuple(tile_picture(unseen.tiles[i]) for i in nearest)
        kinds = _kinds_text(kinds_of_cluster(outcome.labels, unseen, k))
        rows.append(SheetRow(k, len(own), pictures, kinds))
    return ContactSheet(label(SHOWN), tuple(rows), int(np.count_nonzero(sizes == 0)))


def _kinds_text(kinds: Mapping[str, int]) -> str:
    named = [f"{kind} {count}" for kind, count in list(kinds.items())[:KINDS]]
    others = sum(list(kinds.values())[KINDS:])
    return ", ".join([*named, f"others {others}"] if others else named)
