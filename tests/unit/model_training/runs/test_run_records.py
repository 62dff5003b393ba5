"""Recording of training runs."""

from pathlib import Path

import pytest

from model_training.runs.run_records import recorded_run
from veritag.bundles.bundle import load_bundle, starter_bundle_path
from veritag.errors import StopError
from veritag.records import Records
from veritag.records.training.runs import training_run_history
from veritag.settings import Settings


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    """A data directory with records."""
    settings = Settings(data_dir=tmp_path)
    records = Records.open(settings.records_url)
    records.migrate()
    records.close()
    return settings


def test_a_run_is_recorded_with_the_bundle_that_it_made(site: Settings) -> None:
    """Configuration, snapshot, bundle and figures are stored."""
    bundle = load_bundle(starter_bundle_path())
    with recorded_run(site, {"size": 64}) as finish:
        finish(bundle, "digest")
    (run,) = training_run_history(Records.open(site.records_url))
    assert (run.status, run.bundle_id) == ("finished", bundle.bundle_id)
    assert (run.configuration, run.snapshot_digest) == ({"size": 64}, "digest")
    assert run.finished_at is not None


def test_a_failed_run_is_recorded_with_its_reason(site: Settings) -> None:
    """The caller gets the error too; the text of an unexpected one is not stored."""
    with pytest.raises(StopError, match="too few"), recorded_run(site, {}):
        raise StopError("too few images")
    with pytest.raises(ValueError, match="DOE"), recorded_run(site, {}):
        raise ValueError("DOE^JANE is no number")
    unexpected, expected = training_run_history(Records.open(site.records_url))
    assert (expected.status, expected.error) == ("failed", "too few images")
    assert unexpected.status == "failed"
    assert (unexpected.error or "").startswith("unexpected ValueError in test_a_failed")


def test_without_records_nothing_is_recorded(tmp_path: Path) -> None:
    """Training on a folder creates no database."""
    with recorded_run(Settings(data_dir=tmp_path), {}) as finish:
        finish(load_bundle(starter_bundle_path()), "digest")
    assert list(tmp_path.iterdir()) == []
