"""The report that lies in every bundle: one HTML page without outside parts."""

import base64
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model_training.calibration.fit_bundle import FittedBundle
from model_training.calibration.injection import ERROR_RATE
from model_training.network.clustering import squared_distances
from model_training.snapshots.snapshot import Snapshot, rows_of
from veritag.bundles.bundle import ClusterProfile
from veritag.dicom.tags import JUDGED_TAGS

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Veritag model report</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; }}
table {{ border-collapse: collapse; margin: .6em 0 1.6em; }}
td, th {{ padding: .2em .7em; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }}
td.n {{ text-align: right; font-variant-numeric: tabular-nums; }}
img {{ width: 64px; height: 64px; image-rendering: pixelated; margin: 1px; }}
small {{ color: #555; }}
</style></head><body>
<h1>Veritag model report</h1>
{body}
</body></html>
"""
FLAGGING = """<h2>Wrong tags found on unseen patients</h2>
<p>With {rate:.0%} wrong tags, half of them plausible confusions. In brackets the 95 % Wilson
interval.</p><table><tr><th>Tag<th>Threshold<th>Precision<th>Recall<th>False alarms
<th>Right tags<th>Wrong tags</tr>"""
NEW_STATIONS = """<h2>On stations that trained nothing</h2>
<p>Thresholds were chosen on these images, too.</p>
<table><tr><th>Tag<th>Wrong values found<th>Right values flagged</tr>"""
DETECTABILITY = """<h2>What can be judged</h2>
<p>Held-out images with each received value, by Modality: right ones and how many of them
were flagged, wrong ones and how many were found. Where nothing was found to judge by,
the tag as a whole stands in.</p><details><summary>{silent} of {rows} rows are silent
</summary><table><tr><th>Tag<th>Received<th>Modality<th>Judged<th>Right<th>False alarms
<th>Wrong<th>Found<th>Precision</tr>"""
CLUSTERS = """<h2>Clusters</h2>
<p>The largest first, each with the training images nearest to its center.</p>
<table><tr><th>Cluster<th>Nearest images<th>Images<th>Tags</tr>"""
SAMPLES = 10
LEAST_SHOWN = 0.01
LARGEST = 64


def report_html(
    learnt: FittedBundle,
    snapshot: Snapshot,
    clusters: Sequence[ClusterProfile],
    *,
    with_tiles: bool,
) -> str:
    """Return the page.

    Parameters
    ----------
    clusters
        Under their public ids and names, in the order of the centers.
    with_tiles
        Whether images of the snapshot may be shown.
    """
    parts = [_data(learnt, snapshot), _flagging(learnt), _new_stations(learnt)]
    parts += [_detectability(learnt), _constraints(learnt), _training(learnt)]
    parts.append(_clusters(learnt, snapshot, clusters, with_tiles=with_tiles))
    return PAGE.format(body="\n".join(parts))


def _data(learnt: FittedBundle, snapshot: Snapshot) -> str:
    images = learnt.figures["images"]
    patients = len({s.patient for s in snapshot.samples})
    return (
        f"<p>{len(snapshot)} images of {patients} patients or objects: {images['training']} "
        f"to train, {images['calibration']} to calibrate, {images['unseen']} unseen until "
        f"the check. Tiles of {snapshot.preprocessing.size} pixels, "
        f"{len(learnt.model.clusters.centers)} clusters.</p>"
    )


def _flagging(learnt: FittedBundle) -> str:
    rows = [FLAGGING.format(rate=ERROR_RATE)]
    for tag in JUDGED_TAGS:
        figures = learnt.figures["unseen"].get(tag, {}).get("all")
        threshold = learnt.calibration.tags[tag].threshold
        if not figures:
            continue
        shown = f"{threshold:.4f}" if threshold is not None else "never flagged"
        rows.append(
            f"<tr><td>{escape(tag)}<td>{shown}<td>{_share(figures, 'precision')}"
            f"<td>{_share(figures, 'recall')}<td>{_share(figures, 'false_alarm_rate')}"
            f"<td class=n>{figures['right']:.0f}<td class=n>{figures['wrong']:.0f}</tr>"
        )
    return "\n".join([*rows, "</table>"])


def _share(figures: dict[str, float], name: str) -> str:
    if name not in figures:
        return "-"
    low, high = figures[f"{name}_low"], figures[f"{name}_high"]
    return f"{figures[name]:.3f} <small>[{low:.3f}, {high:.3f}]</small>"


def _new_stations(learnt: FittedBundle) -> str:
    found = learnt.figures["new_stations"]
    if not found:
        return ""
    rows = [
        f"<tr><td>{escape(tag)}<td class=n>{f['found']} of {f['wrong']}"
        f"<td class=n>{f['false_alarms']} of {f['right']}</tr>"
        for tag, f in found.items()
    ]
    return "\n".join([NEW_STATIONS, *rows, "</table>"])


def _detectability(learnt: FittedBundle) -> str:
    told = sorted(learnt.detectability, key=lambda d: (d.judged, d.tag, d.concept))
    if not told:
        return ""
    silent = sum(not d.judged for d in told)
    rows = [DETECTABILITY.format(silent=silent, rows=len(told))]
    for d in told:
        names = "".join(f"<td>{escape(n)}" for n in (d.tag, d.concept, d.modality))
        counts = (d.right, d.false_alarms, d.wrong, d.found)
        numbers = "".join(f"<td class=n>{count}" for count in counts)
        precision = "-" if d.precision is None else f"{d.precision:.2f}"
        judged = "yes" if d.judged else "no"
        rows.append(f"<tr>{names}<td>{judged}{numbers}<td class=n>{precision}</tr>")
    return "\n".join([*rows, "</table></details>"])


def _constraints(learnt: FittedBundle) -> str:
    told = learnt.figures.get("constraints")
    if not told:
        return ""
    return (
        f"<h2>Constraints</h2><p>{told['must_link']} must-links and "
        f"{told['cannot_link']} cannot-links of {told['requested']} asked for, from "
        f"{told['distinct']} combinations of tags; {told['contradictions']} cannot-links "
        f"contradicted must-links, {told['left_out']} were left out. "
        f"{escape(told['shortfall'])}</p>"
    )


def _training(learnt: FittedBundle) -> str:
    rows = ["<h2>Training</h2><table><tr><th>Part, pass, weighted losses</tr>"]
    rows += [f"<tr><td>{escape(str(e))}</tr>" for e in learnt.trained.history]
    return "\n".join([*rows, "</table>"])


def _clusters(
    learnt: FittedBundle,
    snapshot: Snapshot,
    clusters: Sequence[ClusterProfile],
    *,
    with_tiles: bool,
) -> str:
    tiles = snapshot.tiles[rows_of(learnt.split.training)]
    squared = squared_distances(
        learnt.trained.embed(tiles), learnt.model.clusters.centers
    )
    nearest = squared.argmin(axis=1)
    sizes = np.bincount(nearest, minlength=len(learnt.model.clusters.centers))
    rows = [CLUSTERS]
    for k in np.argsort(-sizes)[:LARGEST]:
        own = np.flatnonzero(nearest == k)
        closest = own[np.argsort(squared[own, k])][:SAMPLES]
        shown = "".join(_img(tile) for tile in tiles[closest]) if with_tiles else ""
        rows.append(
            f"<tr><td>{clusters[k].cluster_id} {escape(clusters[k].name)}<td>{shown}"
            f"<td class=n>{sizes[k]}"
            f"<td>{'<br>'.join(_profile(learnt, int(k)))}</tr>"
        )
    return "\n".join([*rows, "</table>"])


def _profile(learnt: FittedBundle, k: int) -> Iterator[str]:
    for tag in ("Modality", "BodyPartExamined"):
        profiles = learnt.model.clusters.profiles.get(tag)
        if profiles is None or not profiles.knows[k]:
            continue
        row = profiles.table[k]
        first = np.argsort(-row)[:3]
        shares = ", ".join(
            f"{escape(profiles.values[v])} {row[v]:.0%}"
            for v in first
            if row[v] >= LEAST_SHOWN
        )
        yield f"{tag}: {shares}"


def _img(picture: NDArray[Any]) -> str:
    _, png = cv2.imencode(".png", np.ascontiguousarray(picture))
    data = base64.b64encode(png.tobytes()).decode()
    return f'<img alt="" src="data:image/png;base64,{data}">'
