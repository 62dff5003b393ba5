"""Cost of a new association: Veritag, pynetdicom by default, DCMTK storescp.

A minimal client connects, proposes one storage SOP Class, waits for the acceptance and
releases. All servers accept every storage SOP Class; storescp has a list of its own. The
servers take turns; TCP_NODELAY is on at both ends.

python -m benchmarks.association [--rounds 10] [--each 10] [--contexts 1] [--json]
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.pdu import A_ASSOCIATE_RQ, A_RELEASE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import AllStoragePresentationContexts, build_context

from benchmarks.running import exit_on_sigterm, parser, quantile, show, veritag
from services.system.ports import free_port
from tests.programs import find_program

_ACCEPTED = 0x02  # PS3.8 Table 9-17: PDU type of an A-ASSOCIATE-AC
_RELEASED = 0x06  # PS3.8 Table 9-25: PDU type of an A-RELEASE-RP
_START_SECONDS = 30.0

_STOCK = """\
import sys
from pynetdicom import AE, AllStoragePresentationContexts, ALL_TRANSFER_SYNTAXES
ae = AE()
for context in AllStoragePresentationContexts:
    ae.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
ae.start_server(("127.0.0.1", int(sys.argv[1])))
"""


@dataclass
class Server:
    """A running Storage SCP, and the cost of its associations.

    Attributes
    ----------
    accepted
        Seconds from the connection to the acceptance.
    ended
        Seconds from the connection to the answer to the release.
    """

    name: str
    port: int
    process: psutil.Process
    accepted: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    cpu: float = 0.0


def request(
    contexts: int, first: str = "", syntax: str = ImplicitVRLittleEndian
) -> bytes:
    """Return an A-ASSOCIATE-RQ that proposes `contexts` storage SOP Classes."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "BENCHMARK", "VERITAG"
    length, implementation = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
    )
    length.maximum_length_received = 16382
    implementation.implementation_class_uid = "1.2.826.0.1.3680043.8.498.1"
    primitive.user_information = [length, implementation]
    storage = [
        str(context.abstract_syntax) for context in AllStoragePresentationContexts
    ]
    uids = [first, *(u for u in storage if u != first)] if first else storage
    proposed = []
    for number, uid in enumerate(uids[:contexts]):
        context = build_context(uid, syntax)
        context.context_id = 2 * number + 1
        proposed.append(context)
    primitive.presentation_context_definition_list = proposed
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return bytes(pdu.encode())


RELEASE = bytes(A_RELEASE_RQ().encode())


def associate(port: int, proposal: bytes) -> tuple[float, float]:
    """Open and release one association; return seconds to its acceptance and end."""
    start = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(proposal)
        _expect(connection, _ACCEPTED)
        accepted = time.perf_counter() - start
        connection.sendall(RELEASE)
        _expect(connection, _RELEASED)
    return accepted, time.perf_counter() - start


def _expect(connection: socket.socket, kind: int) -> None:
    received, _ = read_pdu(connection)
    assert received == kind, f"PDU type {received:#x} instead of {kind:#x}"


def read_pdu(connection: socket.socket) -> tuple[int, bytes]:
    """Read one PDU (PS3.8 section 9.3.1); return its type and its content."""
    head = _read(connection, 6)
    return head[0], _read(connection, int.from_bytes(head[2:6], "big"))


def _read(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        piece = connection.recv(count - len(received))
        assert piece, "the server closed the connection"
        received += piece
    return received


@contextmanager
def running_server(
    name: str, command: Sequence[str], port: int, settings: Mapping[str, str]
) -> Iterator[Server]:
    """Start a server, wait until it listens, and stop it at the end."""
    process = subprocess.Popen(
        command,
        env={**os.environ, "TCP_NODELAY": "1", **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_it_listens(name, port, process)
        yield Server(name, port, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait()


def _wait_until_it_listens(
    name: str, port: int, process: subprocess.Popen[bytes]
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            associate(port, request(1))
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"{name} does not start")


@contextmanager
def servers(folder: Path) -> Iterator[list[Server]]:
    """Run all installed servers."""
    port, stock, health = (free_port("127.0.0.1") for _ in range(3))
    settings = {
        "VERITAG_DATA_DIR": str(folder / "data"),
        "VERITAG_DICOM_PORT": str(port),
        "VERITAG_DICOM_HOST": "127.0.0.1",
        "VERITAG_LISTENER_HTTP_PORT": str(health),
    }
    with ExitStack() as stack:
        run = stack.enter_context
        listen = veritag("listen", "--no-indexer")
        running = [run(running_server("veritag", listen, port, settings))]
        script = [sys.executable, "-c", _STOCK, str(stock)]
        running.append(run(running_server("pynetdicom, default", script, stock, {})))
        storescp = find_program("storescp")
        if storescp:
            other = free_port("127.0.0.1")
            command = [storescp, "--fork", "-od", str(folder), str(other)]
            running.append(run(running_server("DCMTK storescp", command, other, {})))
        yield running


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a server and of its ended children."""
    times = process.cpu_times()
    return float(
        times.user + times.system + times.children_user + times.children_system
    )


def measure(server: Server, proposal: bytes, count: int) -> None:
    """Open associations one after the other and store their times."""
    before = cpu_seconds(server.process)
    for _ in range(count):
        accepted, ended = associate(server.port, proposal)
        server.accepted.append(accepted)
        server.ended.append(ended)
    time.sleep(0.1)  # CPU time of a child counts after its end only
    server.cpu += cpu_seconds(server.process) - before


def summary(servers: Sequence[Server]) -> dict[str, object]:
    """Return the times of each server, and their ratio to those of the last one."""
    last = statistics.median(servers[-1].ended)
    return {
        server.name: {
            "accepted_ms": round(1000 * statistics.median(server.accepted), 2),
            "p95_ms": round(1000 * quantile(server.accepted, 0.95), 2),
            "ended_ms": round(1000 * statistics.median(server.ended), 2),
            "cpu_ms": round(1000 * server.cpu / len(server.ended), 2),
            f"ended_to_{servers[-1].name.replace(' ', '_')}": round(
                statistics.median(server.ended) / last, 2
            ),
        }
        for server in servers
    }


def main() -> None:
    """Run the benchmark."""
    exit_on_sigterm()
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=10)
    arguments.add_argument("--each", type=int, default=10)
    arguments.add_argument("--contexts", type=int, default=1, choices=range(1, 129))
    options = arguments.parse_args()
    proposal = request(options.contexts)
    with (
        tempfile.TemporaryDirectory(prefix="veritag-association-") as folder,
        servers(Path(folder)) as running,
    ):
        for server in running:
            associate(server.port, proposal)
        for _ in range(options.rounds):
            for server in running:
                measure(server, proposal, options.each)
        count = options.rounds * options.each
        counts = {"associations each": count, "contexts proposed": options.contexts}
        show({**counts, **summary(running)}, as_json=options.json)


if __name__ == "__main__":
    main()
