"""Senders: DCMTK's storescu and dcmsend, and a lean client that measures latencies."""

import os
import struct
import subprocess
import time
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from socket import IPPROTO_TCP, TCP_NODELAY, create_connection, socket

from pydicom.uid import ExplicitVRLittleEndian

from benchmarks.association import RELEASE, read_pdu, request
from benchmarks.reception.data import Instance, InstanceKind, files, instances
from tests.programs import find_program

_MAX_PDU = 131_072
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}
_OPTIONS = {
    "storescu": ["-R", "+sd", "-aec", "SCP"],
    "dcmsend": ["+sd", "-aec", "SCP"],
}


def send_by_dcmtk(
    client: str,
    port: int,
    kind: InstanceKind,
    count: int,
    associations: int,
    folder: Path,
) -> float:
    """Send files over simultaneous associations; return the elapsed seconds."""
    program = find_program(client)
    if program is None:
        raise SystemExit(f"{client} of DCMTK is not installed")
    folders = [folder / str(number) for number in range(associations)]
    for part in folders:
        files(kind, count // associations, part)
    start = time.perf_counter()
    processes = [
        subprocess.Popen(
            [program, *_OPTIONS[client], "127.0.0.1", str(port), str(part)],
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
        )
        for part in folders
    ]
    statuses = [process.wait() for process in processes]
    elapsed = time.perf_counter() - start
    if any(statuses):
        raise SystemExit(f"{client} failed: {statuses}")
    return elapsed


def send_lean(
    port: int, kind: InstanceKind, count: int, associations: int, *, kept: bool
) -> tuple[float, list[float]]:
    """Send from a process for each association; return elapsed seconds and latencies.

    A latency is the time from the first byte of the C-STORE-RQ to its answer, or, with an
    association for each object, from the connection to the end of the release.
    """
    context = get_context("fork")
    pipes = []
    for _ in range(associations):
        ours, theirs = context.Pipe()
        share = list(instances(kind, count // associations))
        arguments = (theirs, port, kind, share, kept)
        context.Process(target=_send_share, args=arguments, daemon=True).start()
        theirs.close()  # else the end of a failed process would not be noticed
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    start = time.perf_counter()
    for pipe in pipes:
        pipe.send("go")
    latencies = [value for pipe in pipes for value in pipe.recv()]
    return time.perf_counter() - start, latencies


def _send_share(
    pipe: Connection,
    port: int,
    kind: InstanceKind,
    share: Sequence[Instance],
    kept: bool,
) -> None:
    # As many contexts as fit into one request; that of the instances is the first.
    proposal = request(1 if kept else 128, kind.sop_class_uid, ExplicitVRLittleEndian)
    limit = _pdu_limit(port, proposal)
    messages = [_message(number, one, limit) for number, one in enumerate(share, 1)]
    pipe.send("ready")
    pipe.recv()
    send = _send_over_one if kept else _send_over_many
    pipe.send(send(port, proposal, messages))


def _send_over_one(
    port: int, proposal: bytes, messages: Sequence[bytes]
) -> list[float]:
    latencies = []
    with _associate(port, proposal) as connection:
        for message in messages:
            start = time.perf_counter()
            connection.sendall(message)
            _expect_success(connection)
            latencies.append(time.perf_counter() - start)
        _release(connection)
    return latencies


def _send_over_many(
    port: int, proposal: bytes, messages: Sequence[bytes]
) -> list[float]:
    latencies = []
    for message in messages:
        start = time.perf_counter()
        with _associate(port, proposal) as connection:
            connection.sendall(message)
            _expect_success(connection)
            _release(connection)
        latencies.append(time.perf_counter() - start)
    return latencies


def _pdu_limit(port: int, proposal: bytes) -> int:
    """Return the maximum length of PDUs that a server accepts (PS3.8 section D.1)."""
    connection = create_connection(("127.0.0.1", port), timeout=60)
    with connection:
        connection.sendall(proposal)
        _, acceptance = read_pdu(connection)
        connection.sendall(RELEASE)
        read_pdu(connection)
    at = acceptance.index(b"\x51\0\0\4") + 4
    length = int.from_bytes(acceptance[at : at + 4], "big")
    return min(length or _MAX_PDU, _MAX_PDU)  # 0 means no limit


def _associate(port: int, proposal: bytes) -> socket:
    connection = create_connection(("127.0.0.1", port), timeout=60)
    connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    connection.sendall(proposal)
    kind, _ = read_pdu(connection)
    assert kind == 0x02, f"PDU type {kind:#x} instead of A-ASSOCIATE-AC"
    return connection


def _expect_success(connection: socket) -> None:
    _, pdu = read_pdu(connection)
    status = struct.pack("<HHLH", 0, 0x0900, 2, 0)
    assert status in pdu, f"not answered with Success: {pdu!r}"


def _release(connection: socket) -> None:
    connection.sendall(RELEASE)
    kind, _ = read_pdu(connection)
    assert kind == 0x06, f"PDU type {kind:#x} instead of A-RELEASE-RP"


def _message(message_id: int, one: Instance, limit: int) -> bytes:
    """Return the PDUs of a C-STORE-RQ over presentation context 1."""
    uid = one.sop_instance_uid.encode() + b"\0" * (len(one.sop_instance_uid) % 2)
    sop_class = one.sop_class_uid.encode() + b"\0" * (len(one.sop_class_uid) % 2)
    body = b"".join(
        (
            struct.pack("<HHL", 0, 0x0002, len(sop_class)) + sop_class,
            struct.pack("<HHLH", 0, 0x0100, 2, 0x0001),
            struct.pack("<HHLH", 0, 0x0110, 2, message_id & 0xFFFF),
            struct.pack("<HHLH", 0, 0x0700, 2, 0),
            struct.pack("<HHLH", 0, 0x0800, 2, 0),
            struct.pack("<HHL", 0, 0x1000, len(uid)) + uid,
        )
    )
    pdus = [_p_data(3, struct.pack("<HHLL", 0, 0, 4, len(body)) + body)]
    step = limit - 6
    for start in range(0, len(one.data_set), step):
        part = one.data_set[start : start + step]
        pdus.append(_p_data(2 if start + step >= len(one.data_set) else 0, part))
    return b"".join(pdus)


def _p_data(control: int, value: bytes) -> bytes:
    length = len(value) + 6
    return struct.pack(">BBLLBB", 0x04, 0, length, length - 4, 1, control) + value
