"""A listener process whose file steps are recorded, and instances to send to it."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.steps import Recorder
from tests.integration.listener.wire import CT_IMAGE_STORAGE, IMPLICIT, Peer, data_set
from tests.ports import free_port
from veritag.dicom.part10 import read_file_meta

OFFER = (CT_IMAGE_STORAGE, [IMPLICIT])
# (7FE0,0010) as OW of 5 MB: it is written to disk during its reception.
LARGE = b"\xe0\x7f\x10\x00" + (5 << 20).to_bytes(4, "little") + bytes(5 << 20)
_START_SECONDS = 90.0


def settings(recorder: Recorder, reception: str = "fast") -> dict[str, str]:
    """Return the settings of a listener and of an indexer."""
    port, http, other, helper = (str(free_port()) for _ in range(4))
    return {
        "VERITAG_DATA_DIR": str(recorder.under),
        "VERITAG_RECEPTION": reception,
        "VERITAG_DICOM_HOST": "127.0.0.1",
        "VERITAG_DICOM_PORT": port,
        "VERITAG_LISTENER_HTTP_PORT": http,
        "VERITAG_INDEXER_HTTP_PORT": other,
        "VERITAG_HELPER_HTTP_PORT": helper,
        "VERITAG_DISK_RESERVE_MB": "0",
        "VERITAG_INDEX_POLL_SECONDS": "0.02",
        # No broker listens there: unpublished instances wait in the records.
        "VERITAG_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0",
    }


@contextmanager
def listener(
    recorder: Recorder, variables: dict[str, str], kill_at: int = 0
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a listener until it has ended or is no longer needed."""
    arguments = ("services.listener", "listen", "--no-indexer")
    process = recorder.start(*arguments, settings=variables, kill_at=kill_at)
    try:
        _wait_until_it_listens(process, int(variables["VERITAG_DICOM_PORT"]))
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def instance(number: int, *, large: bool = False) -> tuple[str, bytes]:
    """Return the SOP Instance UID and the Data Set of an instance."""
    uid = f"1.2.3.{number}"
    return uid, data_set(CT_IMAGE_STORAGE, uid, more=LARGE if large else bytes(0))


def is_taken(port: int, uid: str, data: bytes) -> bool:
    """Send an instance; return whether the response was 0x0000."""
    try:
        with Peer(port).associate(OFFER) as peer:
            return peer.store(data, CT_IMAGE_STORAGE, uid).status == 0
    except (OSError, AssertionError):
        return False


def files_by_uid(folder: Path) -> dict[str, list[Path]]:
    """Return the files of a folder by SOP Instance UID."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.dcm")):
        with contextlib.suppress(FileNotFoundError):  # indexed meanwhile
            found.setdefault(read_file_meta(path).sop_instance_uid, []).append(path)
    return found


def data_of(path: Path) -> bytes:
    """Return the encoded Data Set of one of our files."""
    return path.read_bytes()[read_file_meta(path).dataset_offset :]
