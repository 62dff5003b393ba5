"""The model card that lies in every bundle: what it is for, from what, how good."""

from datetime import UTC, datetime
from typing import Any

from model_training.calibration.calibrate import LEAST_PRECISION
from model_training.calibration.fit_bundle import FittedBundle
from model_training.snapshots.snapshot import Snapshot
from model_training.tag_model.error_injection import ERROR_RATE
from veritag.dicom.tags import JUDGED_TAGS

CARD = """# Model card

Made {made} by `veritag train` of Veritag {version} on {machine}.

## What it is for

It compares Modality and other tags of DICOM images with what the images look like, so
that a person can look at the disagreements. It proposes; it corrects nothing by itself.
It is no medical device and says nothing about health.

## How it works

A convolutional encoder (after Manojlovic and Stajduhar, Diagnostics 2021, 11(10):1920;
a re-implementation, its data are not public) turns a {size} x {size} tile into
{embedding} numbers, which are grouped into {clusters} clusters; recipe `{recipe}`. What
the training images of its clusters carry in their tags, what the network itself
predicts, and what the most similar training images carry is what is expected of a new
image. One that lies too far from all of them, or leaves too much doubt, is of an
unknown kind, and nothing is said of it; one that is hardly familiar is not flagged.

## What it was made from

{images} images of {patients} patients or objects: {training} trained, {calibration}
chose the thresholds, {unseen} were not looked at before the check below. Where a source
names no patients, every image counts as one. {synthetic} images are drawn phantoms.
{pictures}
{note}
| source | license as stated there | images |
|---|---|---|
{sources}

## What it showed

Tags of unseen patients, {rate:.0%} of them made wrong (half by plausible confusions, half by
other values that occur). In brackets 95 % Wilson intervals.

| tag | precision | recall | false alarms among right tags | right / wrong tags |
|---|---|---|---|---|
{figures}

Per modality, for the tags that are judged:

| tag, modality | found of wrong | false alarms of right |
|---|---|---|
{by_modality}

At this rate of errors at least {promised:.0%} of the flags were promised to be right.
Of the unseen images {known} were of a known kind. Tags that are not named are never
flagged: the model has not shown that it can tell them.

## Limits

- Only DICOM files and pictures like those above are known.
- {shift}
- Images of one source resemble one another; the figures above are of unseen patients,
  mostly of known sources. Expect less recall on other scanners' images, and more images
  of an unknown kind. Training on the site's own archive (`veritag train --data`) is
  what makes the model know them.
- Rare body parts have few images; the model tends to have no opinion of them.
- The licenses are those of the repositories that the images were found in; they may not
  have been written with the images in mind.
"""


def card_markdown(
    learnt: FittedBundle,
    snapshot: Snapshot,
    *,
    version: str,
    note: str,
    with_tiles: bool,
) -> str:
    """Return the card; `note` is what the one who trained has to say."""
    summary = snapshot.summary()
    figures = learnt.figures
    return CARD.format(
        made=datetime.now(UTC).strftime("%Y-%m-%d"),
        version=version,
        machine=figures["machine"],
        size=snapshot.preprocessing.size,
        embedding=learnt.config.embedding,
        recipe=learnt.config.recipe,
        clusters=len(learnt.model.clusters.centers),
        images=summary["images"],
        patients=summary["patients"],
        synthetic=summary["synthetic"],
        **figures["images"],
        pictures="The report shows some of them."
        if with_tiles
        else "No image is part of the bundle.",
        note=f"\n{note}\n" if note else "",
        sources="\n".join(
            f"| {s['source']} | {s['license'] or 'not stated'} | {s['images']} |"
            for s in summary["sources"]
        ),
        figures="\n".join(_figures(figures["unseen"], learnt)),
        by_modality="\n".join(_by_modality(figures["unseen"], learnt))
        or "| - | - | - |",
        rate=ERROR_RATE,
        promised=LEAST_PRECISION,
        known=f"{figures['unseen_of_known_kind'] or 0:.0%}",
        shift=_shift(figures),
    )


def _judged(learnt: FittedBundle) -> list[str]:
    tags = learnt.calibration.tags
    return [t for t in JUDGED_TAGS if tags[t].threshold is not None]


def _figures(unseen: dict[str, Any], learnt: FittedBundle) -> list[str]:
    rows = []
    for tag in _judged(learnt):
        f = unseen.get(tag, {}).get("all", {})
        shares = [_share(f, n) for n in ("precision", "recall", "false_alarm_rate")]
        counts = f"{f.get('right', 0):.0f} / {f.get('wrong', 0):.0f}"
        rows.append(f"| {tag} | {' | '.join(shares)} | {counts} |")
    return rows or ["| none | - | - | - | - |"]


def _by_modality(unseen: dict[str, Any], learnt: FittedBundle) -> list[str]:
    return [
        f"| {tag}, {modality} | {f['found']:.0f} of {f['wrong']:.0f} "
        f"| {f['false_alarms']:.0f} of {f['right']:.0f} |"
        for tag in _judged(learnt)
        for modality, f in unseen.get(tag, {}).get("by_modality", {}).items()
    ]


def _share(figures: dict[str, float], name: str) -> str:
    if name not in figures:
        return "-"
    low, high = figures[f"{name}_low"], figures[f"{name}_high"]
    return f"{figures[name]:.3f} [{low:.3f}, {high:.3f}]"


def _shift(figures: dict[str, Any]) -> str:
    if not figures.get("new_stations"):
        return "How it does on images of other scanners was not measured."
    told = [
        f"{tag}: {f['found']} of {f['wrong']} wrong values found and {f['false_alarms']} "
        f"false alarms on {f['right']} right ones"
        for tag, f in figures["new_stations"].items()
    ]
    return (
        "On DICOM files of stations and sources that trained nothing:\n  "
        + ";\n  ".join(told)
        + ".\n  The thresholds were chosen on these files, too."
    )
