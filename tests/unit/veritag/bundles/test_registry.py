"""The folder of bundles, promotion and rollback."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from veritag.bundles import registry
from veritag.bundles.bundle import (
    load_bundle,
    resolve_bundle_path,
    seal_bundle,
    starter_bundle_path,
)
from veritag.bundles.registry import entries, promote, rollback
from veritag.errors import BundleRejected, ConfigurationError
from veritag.records import Records
from veritag.records.states import GateOutcome, RunTrigger
from veritag.records.training.runs import begin_run, finish_run, store_gate


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A second bundle: the starter bundle with a remark in its lineage."""
    path = tmp_path / "trained"
    shutil.copytree(starter_bundle_path(), path)
    manifest = load_bundle(starter_bundle_path()).manifest
    manifest.lineage["remark"] = "another one"
    seal_bundle(path, manifest)
    return path


def test_without_a_choice_the_starter_bundle_is_in_use(tmp_path: Path) -> None:
    """A new installation uses the starter bundle."""
    (entry,) = entries(tmp_path / "bundles")
    assert (entry.name, entry.in_use, entry.problem) == ("starter", True, None)


def test_a_promoted_bundle_is_copied_and_in_use(tmp_path: Path, other: Path) -> None:
    """It stays in use when the folder it was trained in goes away."""
    bundles = tmp_path / "bundles"
    promoted = promote(bundles, str(other))
    shutil.rmtree(other)
    assert resolve_bundle_path(bundles) == bundles / promoted.bundle_id
    assert [e.in_use for e in entries(bundles)] == [False, True]


def test_a_rollback_goes_back_step_by_step(tmp_path: Path, other: Path) -> None:
    """The way back ends at the starter bundle."""
    bundles = tmp_path / "bundles"
    promote(bundles, str(other))
    assert rollback(bundles).path == starter_bundle_path()
    assert resolve_bundle_path(bundles) == starter_bundle_path()
    with pytest.raises(BundleRejected, match="no bundle was in use before"):
        rollback(bundles)


def test_a_rollback_leads_to_what_was_chosen_by_hand(
    tmp_path: Path, other: Path
) -> None:
    """A bundle that was written into `active` by hand is in the history as well."""
    bundles = tmp_path / "bundles"
    shutil.copytree(other, bundles / "mine")
    (bundles / "active").write_text("mine\n")
    promote(bundles, "starter")
    assert rollback(bundles).path == bundles / "mine"


def test_promoting_the_same_twice_leaves_one_step_back(
    tmp_path: Path, other: Path
) -> None:
    """A rollback leads to the bundle before, not to the same one."""
    bundles = tmp_path / "bundles"
    for _ in range(2):
        promote(bundles, str(other))
    assert rollback(bundles).path == starter_bundle_path()


@pytest.mark.parametrize("step", ["_set_active", "_write"])
def test_an_interrupted_rollback_can_be_repeated(
    tmp_path: Path, other: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A rollback that stops at either of its two steps ends when it is repeated."""
    bundles = tmp_path / "bundles"
    promote(bundles, str(other))

    def fail(*_arguments: object) -> None:
        raise OSError(5, "the disk fails")

    with monkeypatch.context() as patch:
        patch.setattr(registry, step, fail)
        with pytest.raises(OSError, match="the disk fails"):
            rollback(bundles)
    assert rollback(bundles).path == starter_bundle_path()
    assert resolve_bundle_path(bundles) == starter_bundle_path()


def test_a_damaged_bundle_is_never_put_to_use(tmp_path: Path, other: Path) -> None:
    """The one in use stays, and the registry says what is wrong."""
    (other / "model.onnx").write_bytes(b"changed")
    with pytest.raises(BundleRejected, match=r"model\.onnx"):
        promote(tmp_path / "bundles", str(other))
    assert resolve_bundle_path(tmp_path / "bundles") == starter_bundle_path()


def test_a_single_bundle_named_by_the_setting_is_the_only_choice(other: Path) -> None:
    """Nothing can be promoted then, and the error names the setting to change."""
    assert [e.in_use for e in entries(other)] == [False, True]
    with pytest.raises(ConfigurationError, match="VERITAG_BUNDLE_DIR"):
        promote(other, "starter")


@pytest.mark.slow
def test_the_commands_leave_their_mark(
    tmp_path: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`models promote`, `list` and `rollback` work as processes."""
    monkeypatch.setenv("VERITAG_DATA_DIR", str(tmp_path / "data"))

    def models(*arguments: str) -> str:
        command = [sys.executable, "-m", "veritag.cli", "models", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout

    models("promote", str(other))
    rows = json.loads(models("list", "--json"))
    assert [row["in_use"] for row in rows] == [False, True]
    shown = json.loads(models("show", rows[1]["bundle_id"]))
    assert shown["lineage"]["remark"] == "another one"
    records = Records.open(f"sqlite:///{tmp_path / 'data/records.sqlite3'}")
    run_id = begin_run(records, {}, trigger=RunTrigger.NEED, reason="500 new instances")
    finish_run(records, run_id, rows[1]["bundle_id"], "digest", {})
    store_gate(
        records, run_id, GateOutcome.KEPT, "vb-0", {"reasons": ["recall is worse"]}
    )
    records.close()
    (_, row) = json.loads(models("list", "--json"))
    assert (row["outcome"], row["reasons"]) == ("kept", ["recall is worse"])
    assert json.loads(models("show", rows[1]["bundle_id"]))["outcome"] == "kept"
    table = models("list")
    assert "finished (500 new instances): kept" in table
    assert "recall is worse" in table
    assert "is in use now" in models("rollback")
