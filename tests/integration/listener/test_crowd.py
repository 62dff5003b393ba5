"""Many senders at the same time, among them probes and aborts."""

import socket
import struct
from concurrent.futures import ThreadPoolExecutor

from tests.integration.listener.conftest import Listening
from tests.integration.listener.wire import CT_IMAGE_STORAGE, Peer, data_set
from tests.waiting import wait_for
from veritag.dicom.part10 import read_file_meta

SENDERS, EACH = 16, 12


def _send(port: int, sender: int) -> list[str]:
    """Send instances; each fourth sender aborts during one more."""
    acknowledged = []
    with Peer(port, calling=f"CT{sender}").associate() as peer:
        for number in range(EACH):
            uid = f"1.2.{sender}.{number}"
            answer = peer.store(data_set(CT_IMAGE_STORAGE, uid), CT_IMAGE_STORAGE, uid)
            assert answer.status == 0x0000
            acknowledged.append(uid)
        if sender % 4 == 0:
            peer.send_command(CT_IMAGE_STORAGE, f"1.2.{sender}.99")
            peer.send_data(b"half", last=False)
        elif sender % 4 == 1:
            peer.socket.sendall(struct.pack(">BBL4x", 7, 0, 4))
        else:
            peer.release()
    return acknowledged


def _probe(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=60).close()


def test_what_was_acknowledged_is_what_is_there(listening: Listening) -> None:
    """Among probes and aborts exactly the acknowledged instances are stored."""
    with ThreadPoolExecutor(SENDERS + 4) as pool:
        senders = [pool.submit(_send, listening.port, n) for n in range(SENDERS)]
        probes = [pool.submit(_probe, listening.port) for _ in range(20)]
        acknowledged = {uid for sender in senders for uid in sender.result(120)}
        for probe in probes:
            probe.result(120)
    wait_for(lambda: not listening.acceptor.associations)
    stored = [read_file_meta(path) for path in listening.received()]
    assert len(stored) == SENDERS * EACH
    assert {meta.sop_instance_uid for meta in stored} == acknowledged
    assert len({meta.provenance.association_id for meta in stored}) == SENDERS
    wait_for(lambda: list(listening.spool.incoming.iterdir()) == [])
