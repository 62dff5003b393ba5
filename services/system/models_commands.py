"""`veritag models`: the bundles that are there, and which one is in use."""

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
    """Show the bundles and which one is in use."""
    from veritag.bundles.registry import entries

    settings = _settings()
    found = entries(settings.bundles_dir)
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
        for entry in found
    ]
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        _print(rows)
        _print_runs(runs[:_RUNS_SHOWN])


def _runs(settings: Settings) -> "list[TrainingRun]":
    """Return the recorded training runs, none where there are no records.

    Bundles are there without the records, too: while these are away, that is said.
    """
    if settings.database_url is None and not settings.sqlite_file.is_file():
        return []
    from veritag.errors import RecordsUnavailable
    from veritag.records import Records
    from veritag.records.training.runs import training_run_history

    records = Records.open(settings.records_url)
    try:
        records.migrate()
        return training_run_history(records)
    except RecordsUnavailable as error:
        typer.echo(f"training runs cannot be told: {error}", err=True)
        return []
    finally:
        records.close()


def _gate(
    bundle: ModelBundle | None, decided: "Mapping[str | None, TrainingRun]"
) -> dict[str, Any]:
    """Return what the gate said of a bundle, None where it was not asked."""
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
    """Print the newest training runs, each with its end and the reasons."""
    from rich.console import Console

    console = Console()
    for run in runs:
        told = run.error or run.outcome or ""
        head = f"run {run.run_id}, {run.started_at:%Y-%m-%d %H:%M} UTC, {run.status}"
        because = f" ({run.reason})" if run.reason else ""
        line = f"{head}{because}: {told}" if told else head + because
        told_lines = [line, *(f"  {reason}" for reason in run.reasons)]
        for one in told_lines:
            console.print(one, highlight=False, markup=False, soft_wrap=True)


@models.command()
def show(name: str = NAME) -> None:
    """Print what a bundle was made from and what it has shown, as JSON."""
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
    told = {
        "bundle_id": bundle.bundle_id,
        "path": str(bundle.path),
        **_gate(bundle, decided),
        **manifest,
        "cluster_names": names,
    }
    typer.echo(json.dumps(told, indent=1))


@models.command()
def promote(name: str = NAME) -> None:
    """Put a bundle to use; running workers swap between two messages."""
    from veritag.bundles.registry import promote as put_to_use

    settings = _settings()
    _tell(settings, "promotion", put_to_use(settings.bundles_dir, name))


@models.command()
def rollback() -> None:
    """Put the bundle to use that was in use before."""
    from veritag.bundles.registry import rollback as put_back

    settings = _settings()
    _tell(settings, "rollback", put_back(settings.bundles_dir))


def _tell(settings: Settings, kind: str, bundle: ModelBundle) -> None:
    """Leave an audit event where there are records, and say what is in use now."""
    from veritag.records import Records
    from veritag.records.audit import record_event

    records = Records.open(settings.records_url)
    try:
        records.migrate()
        record_event(records, kind, getpass.getuser(), {"bundle_id": bundle.bundle_id})
    finally:
        records.close()
    typer.echo(f"{bundle.bundle_id} is in use now")
