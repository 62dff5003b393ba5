"""Who sends: DCMTK's storescu and dcmsend, and a lean client that tells latencies."""

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

_LONGEST_PDU = 131_072
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
    """Send files over so many associations at a time; return the seconds it took."""
    program = find_program(client)
    if program is None:
        raise SystemExit(f"{client} of DCMTK is not installed")
    folders = [folder / str(number) for number in range(associations)]
    for part in folders:
        files(kind, count // associations, part)
    began = time.perf_counter()
    running = [
        subprocess.Popen(
            [program, *_OPTIONS[client], "127.0.0.1", str(port), str(part)],
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
        )
        for part in folders
    ]
    statuses = [process.wait() for process in running]
    took = time.perf_counter() - began
    if any(statuses):
        raise SystemExit(f"{client} failed: {statuses}")
    return took


def send_lean(
    port: int, kind: InstanceKind, count: int, associations: int, *, kept: bool
) -> tuple[float, list[float]]:
    """Send from as many processes; return the seconds it took and all latencies.

    A latency is from the first byte of the C-STORE-RQ to its answer, or, with an
    association for each object, from the connection to the end of the release.
    """
    context = get_context("fork")
    pipes = []
    for _ in range(associations):
        ours, theirs = context.Pipe()
        share = list(instances(kind, count // associations))
        arguments = (theirs, port, kind, share, kept)
        context.Process(target=_send_share, args=arguments, daemon=True).start()
        theirs.close()  # so that a process that fails is noticed here
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    began = time.perf_counter()
    for pipe in pipes:
        pipe.send("go")
    latencies = [value for pipe in pipes for value in pipe.recv()]
    return time.perf_counter() - began, latencies


def _send_share(
    pipe: Connection,
    port: int,
    kind: InstanceKind,
    share: Sequence[Instance],
    kept: bool,
) -> None:
    # All contexts that fit into one request; the kind that is sent is the first.
    wanted = request(1 if kept else 128, kind.sop_class_uid, ExplicitVRLittleEndian)
    most = _longest_pdu(port, wanted)
    messages = [_message(number, one, most) for number, one in enumerate(share, 1)]
    pipe.send("ready")
    pipe.recv()
    pipe.send(
        _keep(port, wanted, messages) if kept else _one_each(port, wanted, messages)
    )


def _keep(port: int, wanted: bytes, messages: Sequence[bytes]) -> list[float]:
    latencies = []
    with _associate(port, wanted) as connection:
        for message in messages:
            began = time.perf_counter()
            connection.sendall(message)
            _succeed(connection)
            latencies.append(time.perf_counter() - began)
        _release(connection)
    return latencies


def _one_each(port: int, wanted: bytes, messages: Sequence[bytes]) -> list[float]:
    latencies = []
    for message in messages:
        began = time.perf_counter()
        with _associate(port, wanted) as connection:
            connection.sendall(message)
            _succeed(connection)
            _release(connection)
        latencies.append(time.perf_counter() - began)
    return latencies


def _longest_pdu(port: int, wanted: bytes) -> int:
    """Return the length up to which a server takes PDUs (PS3.8 section D.1)."""
    connection = create_connection(("127.0.0.1", port), timeout=60)
    with connection:
        connection.sendall(wanted)
        _, accepted = read_pdu(connection)
        connection.sendall(RELEASE)
        read_pdu(connection)
    place = accepted.index(b"\x51\0\0\4") + 4
    told = int.from_bytes(accepted[place : place + 4], "big")
    return min(told or _LONGEST_PDU, _LONGEST_PDU)


def _associate(port: int, wanted: bytes) -> socket:
    connection = create_connection(("127.0.0.1", port), timeout=60)
    connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    connection.sendall(wanted)
    kind, _ = read_pdu(connection)
    assert kind == 0x02, f"PDU type {kind:#x} in place of A-ASSOCIATE-AC"
    return connection


def _succeed(connection: socket) -> None:
    _, pdu = read_pdu(connection)
    status = struct.pack("<HHLH", 0, 0x0900, 2, 0)
    assert status in pdu, f"not answered with Success: {pdu!r}"


def _release(connection: socket) -> None:
    connection.sendall(RELEASE)
    kind, _ = read_pdu(connection)
    assert kind == 0x06, f"PDU type {kind:#x} in place of A-RELEASE-RP"


def _message(message_id: int, one: Instance, most: int) -> bytes:
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
    step = most - 6
    for start in range(0, len(one.data_set), step):
        part = one.data_set[start : start + step]
        pdus.append(_p_data(2 if start + step >= len(one.data_set) else 0, part))
    return b"".join(pdus)


def _p_data(control: int, value: bytes) -> bytes:
    length = len(value) + 6
    return struct.pack(">BBLLBB", 0x04, 0, length, length - 4, 1, control) + value
