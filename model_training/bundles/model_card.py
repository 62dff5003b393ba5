"""The model card of a bundle: purpose, training data, figures, limits."""

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

It compares Modality and other tags of DICOM images with the images, so that a person
can review the disagreements. It proposes values and corrects nothing by itself. It is
no medical device and says nothing about health.

## How it works

A convolutional encoder (after Manojlovic and Stajduhar, Diagnostics 2021, 11(10):1920;
a re-implementation, its data are not public) turns a {size} x {size} tile into
{embedding} numbers, which are grouped into {clusters} clusters; recipe `{recipe}`. The
expected tags of a new image come from the tags of the training images in its clusters,
from the network's own predictions, and from the tags of the most similar training
images. An image that is too far from all of them, or too uncertain, is of an unknown
kind and is not judged; beyond a lower limit it is judged, but not flagged.

## Training images

{images} images of {patients} patients or objects: {training} to train, {calibration} to
choose the thresholds, {unseen} unseen until the check below. Where a source names no
patients, every image counts as one. {synthetic} images are drawn phantoms.
{pictures}
{note}
| source | license as stated there | images |
|---|---|---|
{sources}

## Results

Tags of unseen patients, {rate:.0%} of them made wrong (half by plausible confusions, half by
other values that occur). In brackets 95 % Wilson intervals.

| tag | precision | recall | false alarms among right tags | right / wrong tags |
|---|---|---|---|---|
{figures}

Per modality, for the tags that are judged:

| tag, modality | found of wrong | false alarms of right |
|---|---|---|
{by_modality}

The thresholds promise that at this rate of errors at least {promised:.0%} of the flags
are right. {known} of the unseen images were of a known kind. Tags that are not listed
are never flagged: the check does not show that the model can judge them.

## Limits

- Only DICOM files and pictures like those above are known.
- {shift}
- Images of one source resemble one another; the figures above are of unseen patients,
  mostly of known sources. Expect less recall on other scanners' images, and more images
  of an unknown kind. Training on the site's own archive (`veritag train --data`)
  teaches them.
- Rare body parts have few images and are often not judged.
- The licenses are those of the repositories of the images; their authors may have meant
  the code only.
"""


def card_markdown(
    fitted: FittedBundle,
    snapshot: Snapshot,
    *,
    version: str,
    note: str,
    with_tiles: bool,
) -> str:
    """Return the card; `note` is a remark of the person who trained the model."""
    summary = snapshot.summary()
    figures = fitted.figures
    return CARD.format(
        made=datetime.now(UTC).strftime("%Y-%m-%d"),
        version=version,
        machine=figures["machine"],
        size=snapshot.preprocessing.size,
        embedding=fitted.config.embedding,
        recipe=fitted.config.recipe,
        clusters=len(fitted.model.clusters.centers),
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
        figures="\n".join(_figures(figures["unseen"], fitted)),
        by_modality="\n".join(_by_modality(figures["unseen"], fitted))
        or "| - | - | - |",
        rate=ERROR_RATE,
        promised=LEAST_PRECISION,
        known=f"{figures['unseen_of_known_kind'] or 0:.0%}",
        shift=_shift(figures),
    )


def _judged(fitted: FittedBundle) -> list[str]:
    tags = fitted.calibration.tags
    return [t for t in JUDGED_TAGS if tags[t].threshold is not None]


def _figures(unseen: dict[str, Any], fitted: FittedBundle) -> list[str]:
    rows = []
    for tag in _judged(fitted):
        f = unseen.get(tag, {}).get("all", {})
        shares = [_share(f, n) for n in ("precision", "recall", "false_alarm_rate")]
        counts = f"{f.get('right', 0):.0f} / {f.get('wrong', 0):.0f}"
        rows.append(f"| {tag} | {' | '.join(shares)} | {counts} |")
    return rows or ["| none | - | - | - | - |"]


def _by_modality(unseen: dict[str, Any], fitted: FittedBundle) -> list[str]:
    return [
        f"| {tag}, {modality} | {f['found']:.0f} of {f['wrong']:.0f} "
        f"| {f['false_alarms']:.0f} of {f['right']:.0f} |"
        for tag in _judged(fitted)
        for modality, f in unseen.get(tag, {}).get("by_modality", {}).items()
    ]


def _share(figures: dict[str, float], name: str) -> str:
    if name not in figures:
        return "-"
    low, high = figures[f"{name}_low"], figures[f"{name}_high"]
    return f"{figures[name]:.3f} [{low:.3f}, {high:.3f}]"


def _shift(figures: dict[str, Any]) -> str:
    if not figures.get("new_stations"):
        return "Images of other scanners were not measured."
    figures_by_tag = [
        f"{tag}: {f['found']} of {f['wrong']} wrong values found and {f['false_alarms']} "
        f"false alarms on {f['right']} right ones"
        for tag, f in figures["new_stations"].items()
    ]
    return (
        "On DICOM files of stations and sources without training images:\n  "
        + ";\n  ".join(figures_by_tag)
        + ".\n  The thresholds were chosen on these files, too."
    )
