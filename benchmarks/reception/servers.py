"""The Storage SCPs that are compared; each as it is shipped, ours with every fsync."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.association import Server, running_server
from benchmarks.running import veritag
from services.system.ports import free_port
from tests.programs import find_program

OURS, REFERENCE = "veritag", "storescp"


@dataclass(frozen=True)
class Start:
    """How a server is started on a port, in a folder."""

    command: Sequence[str]
    settings: Mapping[str, str]


def _veritag(*arguments: str, **settings: str) -> Callable[[int, Path], Start]:
    def start(port: int, folder: Path) -> Start:
        told = {
            "VERITAG_DATA_DIR": str(folder),
            "VERITAG_DICOM_PORT": str(port),
            "VERITAG_DICOM_HOST": "127.0.0.1",
            "VERITAG_MAX_ASSOCIATIONS": "64",
            "VERITAG_LISTENER_HTTP_PORT": str(free_port("127.0.0.1")),
            "VERITAG_INDEXER_HTTP_PORT": str(free_port("127.0.0.1")),
            **settings,
        }
        return Start(veritag("listen", *arguments), told)

    return start


def _storescp(port: int, folder: Path) -> Start:
    program = find_program("storescp") or "storescp"
    return Start([program, "--fork", "-od", str(folder), str(port)], {})


def _pynetdicom(port: int, folder: Path) -> Start:
    command = [sys.executable, "-m", "pynetdicom", "storescp", "-q"]
    return Start([*command, "-od", str(folder), str(port)], {})


def _orthanc(port: int, folder: Path) -> Start:
    settings = {
        "DicomPort": port,
        "HttpPort": free_port("127.0.0.1"),
        "StorageDirectory": str(folder),
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "RemoteAccessAllowed": False,
    }
    file = folder / "orthanc.json"
    file.write_text(json.dumps(settings))
    return Start([find_program("Orthanc") or "Orthanc", str(file)], {})


SERVERS: Mapping[str, Callable[[int, Path], Start]] = {
    OURS: _veritag("--no-indexer"),
    "veritag stock": _veritag("--no-indexer", VERITAG_RECEPTION="stock"),
    "veritag 2 processes": _veritag("--no-indexer", VERITAG_LISTENER_PROCESSES="2"),
    "veritag + indexer": _veritag(),
    REFERENCE: _storescp,
    "Orthanc": _orthanc,
    "pynetdicom": _pynetdicom,
}


@contextmanager
def running_servers(folder: Path, names: Sequence[str]) -> Iterator[dict[str, Server]]:
    """Run the named servers, each on its own port, those that are installed."""
    with ExitStack() as stack:
        found = {}
        for name in names:
            program = {REFERENCE: "storescp", "Orthanc": "Orthanc"}.get(name)
            if program and not find_program(program):
                continue
            port, place = free_port("127.0.0.1"), folder / name.replace(" ", "-")
            place.mkdir()
            start = SERVERS[name](port, place)
            found[name] = stack.enter_context(
                running_server(name, start.command, port, start.settings)
            )
        yield found
