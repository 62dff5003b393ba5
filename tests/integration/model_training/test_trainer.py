"""The trainer and its child processes, with a real broker."""

import json
import os
import signal
from collections.abc import Callable
from http import HTTPStatus

import psutil

from tests.integration.worker.testbed import SCHEDULE, TRAIN, Site
from veritag.messaging.celery_config import celery_app
from veritag.messaging.messages import QUEUE_TRAINING, TASK_TRAIN
from veritag.phantoms.series import phantom_series
from veritag.records.states import RunTrigger
from veritag.records.training.runs import TrainingRun, request_run, training_run

MakeSite = Callable[..., Site]

# A child that never ends stands for a long training.
ENDLESS = """
import sys
from model_training.promotion import trainer
code = "import subprocess, sys, time; " + (
    "print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
)
trainer.HEARTBEAT_SECONDS = 0.3
trainer.Trainer.__init__.__defaults__ = (lambda _run: [sys.executable, "-c", code],)
"""
HUNGRY = ENDLESS.replace("time.sleep(600)", "x = bytearray(300 << 20); time.sleep(600)")


def ask(site: Site) -> int:
    """Request a run as the scheduler does."""
    run_id = request_run(site.records, RunTrigger.NEED, "a test")
    site.dispatcher.train(run_id)
    return run_id


def run(site: Site, run_id: int) -> TrainingRun:
    """Return a recorded run."""
    row = training_run(site.records, run_id)
    assert row is not None
    return row


def grandchild(site: Site) -> int:
    """Wait for the process that the training starts; return its id."""
    log = site.settings.data_dir / "logs/training.log"
    site.until(lambda: log.is_file() and log.read_text().strip().isdigit())
    return int(log.read_text())


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_run_that_cannot_train_has_its_reason_in_the_records(
    make_site: MakeSite,
) -> None:
    """The reason of the real command in the real child is recorded.

    A message of another version is rejected, and a repeated message does nothing.
    """
    site = make_site()
    site.dispatcher._publish(TASK_TRAIN, {"schema": 7, "run_ids": [1]})
    run_id = ask(site)
    site.dispatcher.train(run_id)
    site.start(TRAIN)
    site.until(lambda: "training_not_open" in str(site.log(TRAIN)))
    failed = run(site, run_id)
    assert failed.status == "failed"
    assert "no image to learn from" in (failed.error or "")
    assert failed.configuration["size"] > 0
    assert (site.settings.bundles_dir / "active").read_text() == "first\n"
    events = [line["event"] for line in site.log(TRAIN)]
    assert events.count("training_started") == events.count("message_rejected") == 1
    status, body = site.http(TRAIN, "/ready")
    assert (status, json.loads(body)["dependencies"]) == (
        200,
        dict.fromkeys(("records", "broker", "data"), "ok"),
    )


def test_a_stopped_trainer_takes_its_training_with_it(make_site: MakeSite) -> None:
    """SIGTERM ends child and grandchild within the grace period, and fails the run."""
    site = make_site(stop_grace_seconds=30)
    process = site.start(TRAIN, ENDLESS)
    run_id = ask(site)
    pid = grandchild(site)
    assert alive(pid)
    # Acknowledged before the work: no visibility timeout can bring it back.
    with celery_app(site.settings, "test").connection_for_write() as connection:
        assert connection.default_channel.client.hlen("unacked") == 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    site.until(lambda: not alive(pid))
    failed = run(site, run_id)
    assert failed.status == "failed"
    assert failed.error == "stopped: the trainer is shutting down"


def test_a_killed_trainer_leaves_no_training_behind(make_site: MakeSite) -> None:
    """The child ends with the trainer; the missing heartbeat fails the run."""
    site = make_site(train_least_instances=10_000)
    process = site.start(TRAIN, ENDLESS)
    run_id = ask(site)
    grandchild(site)
    process.kill()
    process.wait()
    assert run(site, run_id).status == "running"
    fast = "from services.scheduler import scheduler, training_schedule"
    fast += "\ntraining_schedule.STALE_SECONDS = 1.0"
    fast += "\nscheduler._TRAINING_SECONDS = 0.5"
    site.start(SCHEDULE, fast)
    site.until(lambda: run(site, run_id).status == "failed")
    assert "its heartbeat ended" in (run(site, run_id).error or "")


def test_a_killed_training_is_told_from_one_that_failed(make_site: MakeSite) -> None:
    """The error names SIGKILL, which the kernel sends when memory is short."""
    site = make_site()
    site.start(TRAIN, ENDLESS)
    run_id = ask(site)
    group = os.getpgid(grandchild(site))
    os.kill(group, signal.SIGKILL)
    site.until(lambda: run(site, run_id).status == "failed")
    assert "killed by SIGKILL: out of memory?" in (run(site, run_id).error or "")


def test_a_training_that_takes_too_long_is_ended(make_site: MakeSite) -> None:
    """The limit on hours ends the child and its descendants."""
    site = make_site(train_hours=0.002)
    site.start(TRAIN, ENDLESS)
    run_id = ask(site)
    pid = grandchild(site)
    site.until(lambda: run(site, run_id).status == "failed")
    assert "VERITAG_TRAIN_HOURS" in (run(site, run_id).error or "")
    site.until(lambda: not alive(pid))


def test_a_training_that_takes_too_much_memory_is_ended(make_site: MakeSite) -> None:
    """The limit holds for the resident memory of all the run's processes."""
    site = make_site(train_memory_mb=150)
    site.start(TRAIN, HUNGRY)
    run_id = ask(site)
    site.until(lambda: run(site, run_id).status == "failed")
    assert "VERITAG_TRAIN_MEMORY_MB (150)" in (run(site, run_id).error or "")


def test_the_scheduler_asks_once_and_again_when_the_message_is_lost(
    make_site: MakeSite,
) -> None:
    """One run is open at a time, and a lost message is sent again."""
    site = make_site(
        train_schedule="never", train_least_instances=1, train_new_instances=2
    )
    from services.scheduler import training_schedule
    from services.scheduler.training_schedule import TrainingSchedule
    from tests.integration.scheduler.test_scheduler import inspected_series, queued

    schedule = TrainingSchedule(site.settings, site.records, site.dispatcher)
    schedule.round()
    assert queued(site, QUEUE_TRAINING) == 0
    inspected_series(site)
    for _ in range(3):
        schedule.round()
    assert queued(site, QUEUE_TRAINING) == 1
    with celery_app(site.settings, "test").connection_for_write() as connection:
        connection.default_channel.client.delete(QUEUE_TRAINING)
    schedule.round()
    assert queued(site, QUEUE_TRAINING) == 0
    pause, training_schedule.REPUBLISH_AFTER = (
        training_schedule.REPUBLISH_AFTER,
        training_schedule.REPUBLISH_AFTER * 0,
    )
    try:
        schedule.round()
        schedule.round()
    finally:
        training_schedule.REPUBLISH_AFTER = pause
    assert queued(site, QUEUE_TRAINING) == 1


def test_the_trainer_waits_without_torch(make_site: MakeSite) -> None:
    """The trainer may idle for weeks and stays small."""
    site = make_site()
    before = 'import atexit\natexit.register(lambda: print(\'{"event": "loaded", '
    before += "\"torch\": ' + str('torch' in sys.modules).lower() + '}'))"
    process = site.start(TRAIN, before)
    site.until(lambda: "http_port" in str(site.log(TRAIN)))
    site.until(lambda: site.http(TRAIN, "/ready")[0] == HTTPStatus.OK)
    process.terminate()
    assert process.wait(60) == 0
    (loaded,) = (line for line in site.log(TRAIN) if line["event"] == "loaded")
    assert loaded["torch"] is False


def test_what_was_received_is_counted_as_new(make_site: MakeSite) -> None:
    """Only inspected instances are learnt from."""
    from veritag.records.training.needs import training_needs

    site = make_site()
    site.receive(phantom_series("CT-HEAD", patient=1, instances=2, seed=1))
    assert training_needs(site.records).instances == 0
    assert training_needs(site.records).first_received_at is not None
