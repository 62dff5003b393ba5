"""Log lines of a process."""

import json
import subprocess
import sys

CODE = """
import logging
from veritag.process.logs import configure_logging, get_logger
from veritag.settings import load_settings
configure_logging(load_settings(), "listener")
get_logger().info("instance_stored", association_id="a1")
get_logger().debug("unseen")
logging.getLogger("pynetdicom").error("DOE^JANE")
logging.getLogger("elsewhere").warning("from the standard library")
try:
    1 / 0
except ZeroDivisionError:
    get_logger().exception("task_failed")
"""


def test_every_event_is_one_json_line_without_patient_data() -> None:
    """Structlog and the standard library write JSON lines; pynetdicom logs nothing."""
    out = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in out.stderr.splitlines()]
    assert [line["event"] for line in lines] == [
        "instance_stored",
        "from the standard library",
        "task_failed",
    ]
    assert lines[0]["association_id"] == "a1"
    assert {line["process"] for line in lines} == {"listener"}
    assert "ZeroDivisionError" in lines[2]["exception"]
    assert "DOE^JANE" not in out.stderr
    assert out.stdout == ""
