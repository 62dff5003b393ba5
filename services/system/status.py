"""`veritag status`: counts from the records; the system need not run."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from veritag.errors import BundleRejected, ConfigurationError
from veritag.settings import Settings


def read_status(settings: Settings) -> dict[str, Any]:
    """Return the counts; `received` includes the instances in the spool.

    Raises
    ------
    ConfigurationError
        If there are no records yet.
    RecordsUnavailable
        If the database does not answer.
    """
    from veritag.records import Records
    from veritag.records.status import system_counts

    _require_records(settings.records_url)
    spooled = _spooled(settings.spool_dir / "ready")
    records = Records.open(settings.records_url)
    try:
        status = asdict(system_counts(records))
    finally:
        records.close()
    status["received"] += spooled
    return {**status, "bundle_id": _bundle_id(settings)}


def _require_records(url: str) -> None:
    """Raise ConfigurationError if the SQLite file is missing: opening would create it."""
    prefix = "sqlite:///"
    if url.startswith(prefix) and not Path(url.removeprefix(prefix)).is_file():
        raise ConfigurationError(
            f"no records in {Path(url.removeprefix(prefix)).parent}: veritag up creates "
            "them; name another data directory by --data or VERITAG_DATA_DIR"
        )


def _spooled(ready: Path) -> int:
    return sum(1 for _ in ready.glob("*")) if ready.is_dir() else 0


def _bundle_id(settings: Settings) -> str | None:
    try:
        from veritag.bundles.bundle import load_bundle, resolve_bundle_path

        return load_bundle(resolve_bundle_path(settings.bundles_dir)).bundle_id
    except (BundleRejected, ImportError):
        return None


def status_table(status: Mapping[str, Any]) -> Table:
    """Return the counts as a table."""
    table = Table.grid(padding=(0, 2))
    for key, value in status.items():
        text = f"{value:.1f}" if isinstance(value, float) else str(value)
        table.add_row(key.replace("_", " "), text)
    return table
