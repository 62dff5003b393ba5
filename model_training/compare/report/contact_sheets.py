"""What lies in each cluster: its most typical unseen images, and what they show."""

from collections.abc import Mapping
from html import escape

import numpy as np

from model_training.compare.images.parts import Parts
from model_training.compare.metrics import mix
from model_training.compare.report.plots import tile_image
from model_training.compare.report.summary import label
from model_training.compare.store import ComparisonStore
from model_training.network.clustering import squared_distances

SHOWN = "veritag"
TILES = 8
KINDS = 5


def contact_sheets(store: ComparisonStore, parts: Parts) -> str:
    """Return a row of pictures for each cluster of the default recipe, largest first."""
    outcome, unseen = store.embedding(SHOWN), parts.unseen
    if outcome is None or len(outcome.labels) != len(unseen):
        return ""
    if outcome.centers is None or not outcome.centers.size:
        return ""
    squared = squared_distances(outcome.embedding, outcome.centers)
    sizes = np.bincount(outcome.labels, minlength=len(outcome.centers))
    head = (
        f"<h2>Clusters of {escape(label(SHOWN))}</h2><p>The unseen images nearest to the "
        "center of each cluster, and what all of its unseen images show. "
        f"{np.count_nonzero(sizes == 0)} clusters hold no unseen image.</p>"
        "<table><tr><th>Cluster<th>Images<th>Nearest<th>Shows</tr>"
    )
    lines = [head]
    for k in np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]:
        own = np.flatnonzero(outcome.labels == k)
        nearest = own[np.argsort(squared[own, k])][:TILES]
        pictures = "".join(tile_image(unseen.tiles[i]) for i in nearest)
        shows = _told(mix(outcome.labels, unseen, int(k)))
        lines.append(
            f"<tr><td class=n>{k}<td class=n>{len(own)}<td class=tiles>{pictures}<td>{shows}</tr>"
        )
    return "\n".join([*lines, "</table>"])


def _told(kinds: Mapping[str, int]) -> str:
    told = [f"{escape(kind)} {count}" for kind, count in list(kinds.items())[:KINDS]]
    rest = sum(list(kinds.values())[KINDS:])
    return ", ".join([*told, f"others {rest}"] if rest else told)
