"""The compared Storage SCPs, each in its default configuration."""

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
    """Command and settings of a server."""

    command: Sequence[str]
    settings: Mapping[str, str]


def _veritag(*arguments: str, **settings: str) -> Callable[[int, Path], Start]:
    def start(port: int, folder: Path) -> Start:
        environment = {
            "VERITAG_DATA_DIR": str(folder),
            "VERITAG_DICOM_PORT": str(port),
            "VERITAG_DICOM_HOST": "127.0.0.1",
            "VERITAG_MAX_ASSOCIATIONS": "64",
            "VERITAG_LISTENER_HTTP_PORT": str(free_port("127.0.0.1")),
            "VERITAG_INDEXER_HTTP_PORT": str(free_port("127.0.0.1")),
            **settings,
        }
        return Start(veritag("listen", *arguments), environment)

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
    """Run those of the named servers that are installed, each on its own port."""
    with ExitStack() as stack:
        running = {}
        for name in names:
            program = {REFERENCE: "storescp", "Orthanc": "Orthanc"}.get(name)
            if program and not find_program(program):
                continue
            port, home = free_port("127.0.0.1"), folder / name.replace(" ", "-")
            home.mkdir()
            start = SERVERS[name](port, home)
            running[name] = stack.enter_context(
                running_server(name, start.command, port, start.settings)
            )
        yield running
