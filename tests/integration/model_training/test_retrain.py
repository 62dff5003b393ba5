"""Retraining on an archive of phantoms up to the promotion, and its failures."""

import ctypes
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from model_training.network.training_config import TrainingConfig
from model_training.promotion.champion import default_config
from model_training.promotion.retrain import run_retraining
from model_training.promotion.trainer import Trainer
from model_training.snapshots.reference_set import reference_patients
from tests.bundles import make_bundle
from tests.real_parts import require
from tests.unit.model_training.snapshots.archive_testbed import ArchiveTestbed
from veritag.bundles.bundle import load_bundle, resolve_bundle_path, starter_bundle_path
from veritag.bundles.registry import entries
from veritag.errors import BundleRejected, ConfigurationError, StopError
from veritag.messaging.messages import TrainBundle
from veritag.records import Records
from veritag.records.audit import audit_trail
from veritag.records.states import RunTrigger
from veritag.records.training.runs import (
    TrainingRun,
    begin_run,
    request_run,
    training_run,
    training_run_history,
)
from veritag.settings import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

CONFIG = TrainingConfig(
    size=32, clusters=6, epochs=2, cluster_epochs=1, constraints=60, views=0
)
KINDS = ("CT-HEAD", "CT-CHEST", "MR-KNEE", "CR-HAND")
PATIENTS = 14

CHILD = """
import sys
from model_training.network.training_config import TrainingConfig
from model_training.promotion.retrain import run_retraining
from veritag.settings import load_settings
config = TrainingConfig(
    size=32, clusters=6, epochs={epochs}, cluster_epochs=1, constraints=60, views=0
)
try:
    run_retraining(int(sys.argv[1]), load_settings(), config=config)
except Exception as error:
    sys.exit(f"error: {{error}}")
"""


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with 112 received and inspected images of 56 patients."""
    folder = tmp_path_factory.mktemp("archive") / "data"
    records = Records.open(Settings(data_dir=folder).records_url)
    records.migrate()
    site = ArchiveTestbed(records, folder)
    for kind in KINDS:
        for patient in range(PATIENTS):
            site.add(kind, patient)
    records.close()
    return folder


@pytest.fixture
def settings(archive: Path, tmp_path: Path) -> Settings:
    """A copy of that archive, with a gate that decides on few images."""
    shutil.copytree(archive, tmp_path / "data")
    return Settings(
        data_dir=tmp_path / "data",
        gate_least_images=8,
        gate_least_patients=4,
        train_clusters=25,
        train_threads=1,
        train_device="cpu",
    )


@pytest.fixture
def records(settings: Settings) -> Iterator[Records]:
    """The records of that site."""
    opened = Records.open(settings.records_url)
    yield opened
    opened.close()


def poor_champion(settings: Settings) -> str:
    """Activate a bundle that knows no image and flags nothing; return its id."""
    from tests.unit.model_training.promotion.gate_bundles import changed_bundle

    folder = settings.bundles_dir
    kinds = ["CT-HEAD", "MR-KNEE"]
    made = make_bundle(folder / "scratch", kinds, unknown=kinds)

    def silent(body: dict[str, Any]) -> None:
        for calibration in body["calibration"].values():
            calibration["threshold"] = None

    champion = changed_bundle(made, folder / "champion", silent)
    shutil.rmtree(made.path)
    (folder / "active").write_text("champion\n")
    return champion.bundle_id


def the_run(records: Records) -> TrainingRun:
    """Return the only run."""
    (run,) = training_run_history(records)
    return run


def all_bundles_whole(settings: Settings) -> bool:
    """Tell whether every folder among the bundles is a whole bundle."""
    return all(entry.problem is None for entry in entries(settings.bundles_dir))


def test_what_is_better_is_promoted_and_told(
    settings: Settings, records: Records
) -> None:
    """A better bundle gets into `active`; run and promotion are recorded with reasons."""
    champion_id = poor_champion(settings)
    done = run_retraining(None, settings, config=CONFIG)
    assert done.decision.outcome == "promoted", done.decision.reasons
    in_use = load_bundle(resolve_bundle_path(settings.bundles_dir))
    assert in_use.bundle_id == done.bundle.bundle_id
    run = the_run(records)
    assert (run.status, run.outcome, run.trigger) == ("finished", "promoted", "hand")
    assert (run.bundle_id, run.champion_id) == (in_use.bundle_id, champion_id)
    assert any("is better" in reason for reason in run.reasons)
    assert run.configuration["clusters"] == 6
    (event,) = [e for e in audit_trail(records) if e.kind == "promotion"]
    assert event.detail == {"bundle_id": in_use.bundle_id, "run_id": run.run_id}
    names = [c.name for c in in_use.manifest.clusters]
    assert all(names)
    assert len(set(names)) == len(names)
    assert in_use.manifest.training["occupancy"]["clusters"]
    assert in_use.manifest.training["images"]["unseen"] > 0
    assert reference_patients(settings.reference_dir)


def test_few_images_leave_the_champion(settings: Settings, records: Records) -> None:
    """The bundle stays for a promotion by hand; the reason names the number needed."""
    few = settings.model_copy(update={"gate_least_images": 500})
    done = run_retraining(None, few, config=CONFIG)
    assert done.decision.outcome == "undecided"
    assert resolve_bundle_path(few.bundles_dir) == starter_bundle_path()
    assert "500 are needed" in the_run(records).reasons[0]
    assert all_bundles_whole(few)


def test_nothing_to_learn_from_is_recorded(tmp_path: Path) -> None:
    """An empty archive ends in an error in the terminal and in the records."""
    settings = Settings(data_dir=tmp_path)
    settings.archive_dir.mkdir()
    with pytest.raises(StopError, match="no image to learn from"):
        run_retraining(None, settings, config=CONFIG)
    opened = Records.open(settings.records_url)
    assert the_run(opened).status == "failed"
    assert "no image to learn from" in (the_run(opened).error or "")
    opened.close()


def test_one_bundle_named_by_the_setting_is_no_place_to_promote(
    settings: Settings,
) -> None:
    """The error comes before any training."""
    one = make_bundle(settings.data_dir / "one")
    fixed = settings.model_copy(update={"bundle_dir": one.path})
    with pytest.raises(ConfigurationError, match="VERITAG_BUNDLE_DIR names one bundle"):
        run_retraining(None, fixed, config=CONFIG)


def test_one_training_at_a_time(settings: Settings, records: Records) -> None:
    """A run by hand is refused while another runs; the error names that run."""
    run_id = begin_run(records, {})
    with pytest.raises(StopError, match=f"run {run_id} is under way"):
        run_retraining(None, settings, config=CONFIG)


def test_a_damaged_champion_is_not_compared_with(
    settings: Settings, records: Records
) -> None:
    """The gate stays undecided and promotes nothing over a damaged champion."""
    poor_champion(settings)
    (settings.bundles_dir / "champion/model.onnx").write_bytes(b"changed")
    done = run_retraining(None, settings, config=CONFIG)
    assert done.decision.outcome == "undecided"
    assert "damaged" in the_run(records).reasons[0]
    assert (settings.bundles_dir / "active").read_text() == "champion\n"


class Running:
    """A trainer that carries out one run in a thread of the test."""

    def __init__(
        self,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
        epochs: int = 2,
        wrapper: tuple[str, ...] = (),
    ) -> None:
        for name in ("data_dir", "bundle_dir", "gate_least_images", "train_device"):
            value = getattr(settings, name)
            if value is not None:
                monkeypatch.setenv(f"VERITAG_{name.upper()}", str(value))
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
        self.records = Records.open(settings.records_url)
        self.log = settings.data_dir / "logs/training.log"
        self.run_id = request_run(self.records, RunTrigger.TIME, "a test")
        code = CHILD.format(epochs=epochs)
        self.trainer = Trainer(
            settings,
            self.records,
            threading.Event(),
            lambda run: [*wrapper, sys.executable, "-c", code, str(run)],
        )
        payload = TrainBundle(self.run_id).encode()
        self.thread = threading.Thread(
            target=self.trainer.carry_out, args=(payload,), daemon=True
        )
        self.thread.start()

    def wait_for_output(self, text: str) -> None:
        """Wait until the training's output holds a text."""
        deadline = time.monotonic() + 240
        while text not in (output := self._output()):
            assert time.monotonic() < deadline, f"no {text!r} in the output"
            assert self.thread.is_alive(), output
            time.sleep(0.05)

    def _output(self) -> str:
        return self.log.read_text() if self.log.is_file() else ""

    def kill(self) -> None:
        """Kill the training as the kernel does when memory is short."""
        for child in psutil.Process().children():
            # The training leads a process group of its own.
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                if os.getpgid(child.pid) == child.pid:
                    child.kill()

    def end(self) -> TrainingRun:
        """Return the recorded run once it has ended."""
        self.thread.join(240)
        assert not self.thread.is_alive()
        run = training_run(self.records, self.run_id)
        self.records.close()
        assert run is not None
        return run


def test_a_run_that_is_killed_changes_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After SIGKILL during the training the champion stays, and no partial bundle loads."""
    poor_champion(settings)
    running = Running(settings, monkeypatch, epochs=1000)
    running.wait_for_output("encoder 2")
    running.kill()
    run = running.end()
    assert run.status == "failed"
    assert "killed by SIGKILL" in (run.error or "")
    assert (settings.bundles_dir / "active").read_text() == "champion\n"
    assert all_bundles_whole(settings)
    left = [p for p in settings.bundles_dir.iterdir() if p.name.startswith(".")]
    for folder in (p for p in left if p.is_dir()):
        with pytest.raises(BundleRejected):
            load_bundle(folder)


def _small_disk(path: Path, kilobytes: int) -> None:
    """Mount a file system of this size; skip the test where that is not permitted."""
    path.mkdir(parents=True, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    size = f"size={kilobytes}k".encode()
    failed = libc.mount(b"tmpfs", str(path).encode(), b"tmpfs", 0, size)
    if failed:
        pytest.skip("only root may mount a small disk")


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs exists on Linux only")
def test_a_full_disk_changes_nothing_and_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the bundle does not fit, the run's error is a full disk, and the champion stays."""
    disk = settings.data_dir / "small"
    require(hasattr(ctypes.CDLL(None), "mount"), "there is no mount(2)")
    _small_disk(disk, 500)
    try:
        on_it = settings.model_copy(update={"bundle_dir": disk / "bundles"})
        (disk / "filler").write_bytes(bytes(100_000))
        run = Running(on_it, monkeypatch).end()
        assert run.status == "failed"
        assert "the disk is full" in (run.error or "")
        assert resolve_bundle_path(on_it.bundles_dir) == starter_bundle_path()
        assert all_bundles_whole(on_it)
    finally:
        ctypes.CDLL(None).umount2(str(disk).encode(), 2)


def test_a_request_is_carried_out_by_a_child(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainer claims the run, trains in a child process, decides and records it."""
    champion_id = poor_champion(settings)
    run = Running(settings, monkeypatch).end()
    assert (run.status, run.trigger, run.champion_id) == (
        "finished",
        "time",
        champion_id,
    ), run.error
    assert run.outcome in {"promoted", "kept", "undecided"}
    assert run.snapshot_digest


def test_a_challenger_has_as_many_clusters_as_the_champion(settings: Settings) -> None:
    """Without a setting, the number of clusters is that of the bundle in use."""
    champion = load_bundle(resolve_bundle_path(settings.bundles_dir))
    free = settings.model_copy(update={"train_clusters": 0})
    assert default_config(settings).clusters == 25
    assert default_config(free).clusters == len(champion.manifest.clusters)
