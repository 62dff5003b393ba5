"""`veritag evaluate`: a bundle's figures on known images, as a table, HTML and JSON."""

import csv
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from model_training.evaluation.evaluation import Evaluation, Figures, evaluate_bundle
from model_training.process.html_page import render_page
from model_training.process.publish_folder import disk_errors
from model_training.snapshots.image_sources import (
    ImageEntry,
    body_part_term,
    image_entries,
)
from model_training.snapshots.snapshot import Snapshot, take_snapshot
from model_training.snapshots.snapshot_check import require_images
from model_training.tag_model.error_injection import ERROR_RATE
from veritag.bundles.bundle import ModelBundle
from veritag.bundles.registry import find
from veritag.errors import ConfigurationError
from veritag.settings import Settings

JSON_FILE, HTML_FILE = "evaluation.json", "evaluation.html"

LABELS: Mapping[str, str] = {
    "nmi_modality": "NMI with modality",
    "homogeneity_modality": "homogeneity in modality",
    "ari_modality": "adjusted Rand index with modality",
    "nmi_region": "NMI with body part",
    "homogeneity_region": "homogeneity in body part",
    "ari_region": "adjusted Rand index with body part",
    "silhouette": "silhouette",
    "unknown": "images of unknown kind",
    "recall": "wrong tags found",
    "precision": f"flags that are right, at {ERROR_RATE:.0%} wrong tags",
    "false_alarm_rate": "right tags flagged",
    "brier": "Brier score of the probabilities",
    "calibration_error": "expected calibration error",
    "review_agreement": "agreement with reviewers",
}
TAG_COLUMNS = ("images", "judged", "recall", "precision", "false_alarm_rate")


def run_evaluate(
    name: str,
    folders: Sequence[Path],
    settings: Settings,
    *,
    labels: Path | None = None,
    out: Path | None = None,
    seed: int = 1,
    with_research: bool = False,
) -> Evaluation:
    """Evaluate, print the table, and write the report where a folder is given.

    Raises
    ------
    StopError
        If there is no such bundle, no folder is given, or no image is usable.
    """
    if not folders:
        raise ConfigurationError("name the images to evaluate on: --images PATH...")
    bundle = find(settings.bundles_dir, name)
    entries = [
        e for f in folders for e in image_entries(f, with_research=with_research)
    ]
    if labels is not None:
        entries = list(_labelled(entries, labels))
    snapshot = _read(entries, bundle)
    evaluation = evaluate_bundle(bundle, snapshot, seed=seed)
    _print(evaluation, snapshot)
    if out is not None:
        write_report(evaluation, out)
    return evaluation


def _read(entries: Sequence[ImageEntry], bundle: ModelBundle) -> Snapshot:
    with warnings.catch_warnings():
        # pydicom warns of each irregularity of each file; unusable files are counted.
        warnings.simplefilter("ignore")
        snapshot = take_snapshot(entries, bundle.manifest.preprocessing)
    require_images(snapshot)
    return snapshot


def _labelled(entries: Sequence[ImageEntry], labels: Path) -> Iterator[ImageEntry]:
    """Yield the entries, with the values of the labels in place of the files'."""
    labelled = dict(_rows(labels))
    for entry in entries:
        # Resolved: folder and table may name a file by different paths.
        tags = labelled.get(entry.path.resolve())
        yield replace(entry, tags={**entry.tags, **tags}) if tags else entry


def _rows(labels: Path) -> Iterator[tuple[Path, dict[str, str | None]]]:
    with labels.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = {"path", "modality", "region"} - set(reader.fieldnames or ())
        if missing:
            raise ConfigurationError(
                f"--labels {labels} has no column {', '.join(sorted(missing))}"
            )
        for row in reader:
            path = (labels.parent / (row["path"] or "")).resolve()
            yield (
                path,
                {
                    "Modality": row["modality"] or None,
                    "BodyPartExamined": body_part_term(row["region"] or ""),
                },
            )


def _print(evaluation: Evaluation, snapshot: Snapshot) -> None:
    console = Console()
    for table in (_figures_table(evaluation), _tags_table(evaluation)):
        console.print(table)
    for reason, count in snapshot.left_out.items():
        Console(stderr=True).print(f"left out {count}: {reason}", highlight=False)


def _figures_table(evaluation: Evaluation) -> Table:
    title = (
        f"{evaluation.bundle_id} on {evaluation.images} images "
        f"of {evaluation.patients} patients"
    )
    table = Table("figure", "value", title=title)
    table.columns[1].justify = "right"
    for key, label in LABELS.items():
        table.add_row(label, _number(evaluation.figures.get(key)))
    return table


def _tags_table(evaluation: Evaluation) -> Table:
    table = Table("tag", *(c.replace("_", " ") for c in TAG_COLUMNS))
    table.columns[0].no_wrap = True
    for tag, figures in evaluation.by_tag.items():
        table.add_row(tag, *_cells(figures))
    return table


def _cells(figures: Figures) -> list[str]:
    return [f"{figures['images']:.0f}", *(_number(figures[c]) for c in TAG_COLUMNS[1:])]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def write_report(evaluation: Evaluation, out: Path) -> None:
    """Write `evaluation.json` and `evaluation.html` into a folder.

    Raises
    ------
    StopError
        If the disk is full or fails.
    """
    with disk_errors(f"the report in {out}"):
        out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(evaluation.as_json(), indent=1)
        (out / JSON_FILE).write_text(text + "\n", encoding="utf-8")
        (out / HTML_FILE).write_text(evaluation_page(evaluation), encoding="utf-8")


def evaluation_page(evaluation: Evaluation) -> str:
    """Return the report: one page without external resources."""
    clusters = sorted(evaluation.clusters, key=lambda c: -c[2])
    return render_page(
        __package__,
        "evaluation.html",
        evaluation=evaluation,
        figures=[
            (label, _number(evaluation.figures.get(k))) for k, label in LABELS.items()
        ],
        tag_headings=[column.replace("_", " ") for column in TAG_COLUMNS],
        tags=[(tag, *_cells(figures)) for tag, figures in evaluation.by_tag.items()],
        clusters=[(f"{i} {name}".strip(), n) for i, name, n in clusters if n],
    )
