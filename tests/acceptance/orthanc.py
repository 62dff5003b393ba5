"""A real Orthanc as a sender: an archive that forwards a study."""

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.ports import free_port
from tests.real_parts import program, require

_START_SECONDS = 60.0


class Orthanc:
    """A running Orthanc, driven over its REST API."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/"

    def ask(self, path: str, body: bytes | None = None) -> Any:
        """Return the JSON answer of a GET, or of a POST where there is a body."""
        request = urllib.request.Request(self._url + path, body)  # noqa: S310 - ours
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - ours
            return json.load(answer)

    def send_everything(self, modality: str) -> int:
        """Forward all studies to a modality; return how many instances were taken."""
        studies = self.ask("studies")
        body = {"Resources": studies, "Synchronous": True}
        result = self.ask(f"modalities/{modality}/store", json.dumps(body).encode())
        return int(result["InstancesCount"]) - int(result["FailedInstancesCount"])


@contextmanager
def orthanc(
    folder: Path, scp_port: int, more: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[Orthanc]:
    """Run Orthanc with its data in a folder; it knows us as the modality `veritag`.

    Parameters
    ----------
    more
        Settings of Orthanc besides.
    """
    os.environ["PATH"] += ":/usr/sbin"
    http_port = free_port()
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "HttpPort": http_port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomModalities": {"veritag": ["VERITAG", "127.0.0.1", scp_port]},
        **more,
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(
            [program("Orthanc"), str(folder / "orthanc.json")],
            env={**os.environ, "TCP_NODELAY": "1"},
            stdout=log,
            stderr=log,
        )
    try:
        running = Orthanc(http_port)
        require(_answers(running), "Orthanc does not start")
        yield running
    finally:
        process.terminate()
        process.wait(60)


def _answers(running: Orthanc) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            return bool(running.ask("system"))
        except OSError:
            time.sleep(0.1)
    return False
