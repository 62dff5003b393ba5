"""`veritag models`: list, show, promote and roll back bundles."""

import getpass
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from veritag.bundles.bundle import ModelBundle
from veritag.settings import Settings

if TYPE_CHECKING:
    from veritag.records.training.runs import TrainingRun

REQUIRES = ("numpy", "cv2")

models = typer.Typer(help="List, show, promote and roll back bundles.")

_RUNS_SHOWN = 5

NAME = typer.Argument(help="Folder name, bundle id or path of a bundle, or `starter`.")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(models, name="models", no_args_is_help=True)


def _settings() -> Settings:
    from veritag.settings import load_settings

    return load_settings()


@models.command("list")
def list_(
    as_json: bool = typer.Option(False, "--json", help="One JSON array on stdout."),
) -> None:
    """List the bundles, and mark the one in use."""
    from veritag.bundles.registry import entries

    settings = _settings()
    bundles = entries(settings.bundles_dir)
    runs = _runs(settings)
    decided = {run.bundle_id: run for run in reversed(runs)}
    rows = [
        {
            "name": entry.name,
            "bundle_id": entry.bundle.bundle_id if entry.bundle else None,
            "in_use": entry.in_use,
            "created_at": entry.bundle.manifest.created_at if entry.bundle else None,
            "clusters": len(entry.bundle.manifest.clusters) if entry.bundle else None,
            "problem": entry.problem,
            **_gate(entry.bundle, decided),
        }
        for entry in bundles
    ]
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        _print(rows)
        _print_runs(runs[:_RUNS_SHOWN])


def _runs(settings: Settings) -> "list[TrainingRun]":
    """Return the recorded training runs, an empty list without records.

    Bundles can be listed without the records: a warning says that these do not answer.
    """
    if not settings.has_records:
        return []
    from veritag.errors import RecordsUnavailable
    from veritag.records import Records
    from veritag.records.training.runs import training_run_history

    records = Records.open(settings.records_url)
    try:
        records.migrate()
        return training_run_history(records)
    except RecordsUnavailable as error:
        typer.echo(f"training runs cannot be shown: {error}", err=True)
        return []
    finally:
        records.close()


def _gate(
    bundle: ModelBundle | None, decided: "Mapping[str | None, TrainingRun]"
) -> dict[str, Any]:
    """Return outcome and reasons of the gate for a bundle, None and [] without a run."""
    run = decided.get(bundle.bundle_id) if bundle else None
    return {
        "outcome": run.outcome if run else None,
        "reasons": run.reasons if run else [],
    }


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in ("", "name", "bundle id", "made", "gate"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(
            "in use" if row["in_use"] else "",
            row["name"],
            row["bundle_id"] if row["bundle_id"] != row["name"] else "",
            (row["created_at"] or "")[:10],
            row["outcome"] or "",
        )
    console = Console()
    console.print(table)
    for row in rows:
        if row["problem"]:
            console.print(row["problem"], style="red", highlight=False)


def _print_runs(runs: "Sequence[TrainingRun]") -> None:
    """Print the newest training runs with outcome and reasons."""
    from rich.console import Console

    console = Console()
    for run in runs:
        outcome = run.error or run.outcome or ""
        head = f"run {run.run_id}, {run.started_at:%Y-%m-%d %H:%M} UTC, {run.status}"
        reason = f" ({run.reason})" if run.reason else ""
        first = f"{head}{reason}: {outcome}" if outcome else head + reason
        for line in [first, *(f"  {text}" for text in run.reasons)]:
            console.print(line, highlight=False, markup=False, soft_wrap=True)


@models.command()
def show(name: str = NAME) -> None:
    """Print the manifest of a bundle and the decision of the gate, as JSON."""
    from dataclasses import asdict

    from veritag.bundles.registry import find

    settings = _settings()
    bundle = find(settings.bundles_dir, name)
    manifest = asdict(bundle.manifest)
    manifest["clusters"] = len(bundle.manifest.clusters)
    names = {c.cluster_id: c.name for c in bundle.manifest.clusters if c.name}
    decided = {run.bundle_id: run for run in reversed(_runs(settings))}
    for calibration in manifest["calibration"].values():
        del calibration["score_knots"], calibration["probability_knots"]
    summary = {
        "bundle_id": bundle.bundle_id,
        "path": str(bundle.path),
        **_gate(bundle, decided),
        **manifest,
        "cluster_names": names,
    }
    typer.echo(json.dumps(summary, indent=1))


@models.command()
def promote(name: str = NAME) -> None:
    """Put a bundle in use; running workers load it between two messages."""
    from veritag.bundles.registry import promote as promote_bundle

    settings = _settings()
    _record_change(settings, "promotion", promote_bundle(settings.bundles_dir, name))


@models.command()
def rollback() -> None:
    """Put the previous bundle in use again."""
    from veritag.bundles.registry import rollback as roll_back_bundle

    settings = _settings()
    _record_change(settings, "rollback", roll_back_bundle(settings.bundles_dir))


def _record_change(settings: Settings, kind: str, bundle: ModelBundle) -> None:
    """Record an audit event, and print which bundle is in use now."""
    from veritag.records import Records
    from veritag.records.audit import record_event

    records = Records.open(settings.records_url)
    try:
        records.migrate()
        record_event(records, kind, getpass.getuser(), {"bundle_id": bundle.bundle_id})
    finally:
        records.close()
    typer.echo(f"{bundle.bundle_id} is in use now")
