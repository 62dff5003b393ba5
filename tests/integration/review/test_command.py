"""`veritag review` as a process."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx

from tests.integration.review import http
from tests.ports import free_port


def test_the_process_serves_and_stops_cleanly(tmp_path: Path) -> None:
    """It is ready on an empty data directory, and ends with status 0 on SIGTERM."""
    port = free_port()
    environment = {
        **os.environ,
        "VERITAG_DATA_DIR": str(tmp_path / "data"),
        "VERITAG_REVIEW_PORT": str(port),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "veritag.cli", "review"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            body = wait_until_ready(process, f"http://127.0.0.1:{port}/ready")
        finally:
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate()
    assert body == {"ready": True, "dependencies": {"records": "ok", "archive": "ok"}}
    assert process.returncode == 0, log
    assert '"event": "review_started"' in log
    assert "Traceback" not in log


def wait_until_ready(process: "subprocess.Popen[str]", address: str) -> object:
    """Return the body of /ready once the process answers."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return http.get(address).raise_for_status().json()
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError("the process never became ready")


def test_a_taken_port_is_said_in_words(tmp_path: Path) -> None:
    """The error names the port that is in use, without a traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = subprocess.run(
            [sys.executable, "-m", "veritag.cli", "review"],
            env={
                **os.environ,
                "VERITAG_DATA_DIR": str(tmp_path / "data"),
                "VERITAG_REVIEW_PORT": str(taken.getsockname()[1]),
            },
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert "error: cannot serve the review pages" in ended.stderr
    assert "VERITAG_REVIEW_PORT" in ended.stderr.replace("\n", " ")
    assert "Traceback" not in ended.stderr


def test_a_database_of_another_version_is_said_in_words(tmp_path: Path) -> None:
    """The error names the database, without a traceback."""
    (tmp_path / "data").mkdir()
    database = sqlite3.connect(tmp_path / "data" / "records.sqlite3")
    with closing(database):
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('0007')")
        database.commit()
    ended = subprocess.run(
        [sys.executable, "-m", "veritag.cli", "review"],
        env={
            **os.environ,
            "VERITAG_DATA_DIR": str(tmp_path / "data"),
            "VERITAG_REVIEW_PORT": str(free_port()),
        },
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 1
    assert "was made by another version of Veritag" in ended.stderr.replace("\n", " ")
    assert "Traceback" not in ended.stderr


def test_the_room_imports_no_other_room() -> None:
    """A fresh interpreter with the application loads no other room."""
    program = (
        "import sys, services.review.app\n"
        "foreign = {'services.listener', 'worker', 'model_training', 'torch',"
        " 'onnxruntime', 'pynetdicom', 'celery'}\n"
        "print(sorted(foreign & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "[]"
