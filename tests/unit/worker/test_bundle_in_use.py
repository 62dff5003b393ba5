"""The bundle that a worker uses, and its change between messages."""

from pathlib import Path

import pytest

from tests.bundles import make_bundle
from veritag.bundles.bundle import ModelBundle
from veritag.errors import BundleRejected
from veritag.records import Records
from worker.bundle_in_use import BundleInUse


@pytest.fixture
def sqlite(tmp_path: Path) -> Records:
    """Migrated records in a file."""
    records = Records.open(f"sqlite:///{tmp_path / 'records.sqlite3'}")
    records.migrate()
    return records


def folder_of_two(tmp_path: Path) -> tuple[Path, ModelBundle, ModelBundle]:
    home = tmp_path / "bundles"
    first = make_bundle(home / "first", ["CT-HEAD"])
    second = make_bundle(home / "second", ["CT-HEAD", "MR-KNEE"])
    (home / "active").write_text("first\n")
    return home, first, second


def test_the_active_bundle_is_swapped_between_messages(
    tmp_path: Path, sqlite: Records
) -> None:
    """Promoting another bundle takes effect at the next message."""
    home, first, second = folder_of_two(tmp_path)
    in_use = BundleInUse(home, sqlite)
    model = in_use.current()
    assert model.bundle.bundle_id == first.bundle_id
    assert in_use.current() is model
    (home / "active").write_text("second\n")
    assert in_use.current().bundle.bundle_id == second.bundle_id
    assert in_use.problem is None


def test_a_rejected_bundle_leaves_the_old_one_in_use(
    tmp_path: Path, sqlite: Records
) -> None:
    """A broken promotion makes readiness fail and does not stop inspection."""
    home, first, second = folder_of_two(tmp_path)
    in_use = BundleInUse(home, sqlite)
    in_use.current()
    (second.path / "model.onnx").write_bytes(b"changed")
    (home / "active").write_text("second\n")
    assert in_use.current().bundle.bundle_id == first.bundle_id
    assert in_use.problem is not None
    assert "changed after sealing" in in_use.problem
    (home / "active").write_text("first\n")
    assert in_use.current().bundle.bundle_id == first.bundle_id
    assert in_use.problem is None


def test_no_usable_bundle_at_all_is_an_error(tmp_path: Path, sqlite: Records) -> None:
    """Without any model an error names the reason."""
    home, first, _ = folder_of_two(tmp_path)
    (first.path / "bundle.json").write_text("{}")
    in_use = BundleInUse(home, sqlite)
    with pytest.raises(BundleRejected, match="schema"):
        in_use.current()
