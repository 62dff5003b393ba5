"""The bundles whose verdicts the records hold."""

from datetime import UTC, datetime

from veritag.bundles.bundle import ModelBundle
from veritag.records.engine import Records
from veritag.records.schema import bundles


def register_bundle(records: Records, bundle: ModelBundle) -> None:
    """Record a bundle with its training figures and lineage; idempotent."""
    with records.begin() as connection:
        connection.execute(
            records.insert(bundles)
            .values(
                id=bundle.bundle_id,
                path=str(bundle.path),
                created_at=bundle.manifest.created_at,
                training=bundle.manifest.training,
                lineage=bundle.manifest.lineage,
                registered_at=datetime.now(UTC),
            )
            .on_conflict_do_nothing()
        )
