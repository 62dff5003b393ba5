"""The process `veritag listen`: start, stop, and what a kill leaves."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil

from tests.integration.listener.conftest import Service
from tests.integration.listener.wire import CT_IMAGE_STORAGE, Peer, data_set
from tests.waiting import wait_for
from veritag.records import Records
from veritag.records.reception import dispatching
from veritag.records.status import system_counts


def _send(service: Service, *numbers: int) -> None:
    with Peer(service.port).associate() as peer:
        for number in numbers:
            uid = f"1.2.{number}"
            answer = peer.store(data_set(CT_IMAGE_STORAGE, uid), CT_IMAGE_STORAGE, uid)
            assert answer.status == 0x0000
        peer.release()


def _records(service: Service) -> Records:
    return Records.open(f"sqlite:///{service.data_dir / 'records.sqlite3'}")


def _indexed(service: Service) -> int:
    if not (service.data_dir / "records.sqlite3").exists():
        return 0
    records = _records(service)
    try:
        return system_counts(records).indexed
    except Exception:  # noqa: BLE001 - not migrated yet
        return 0
    finally:
        records.close()


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=45) as answer:
        return str(answer.read().decode())


def test_a_listener_receives_and_indexes(service: Service) -> None:
    """The process and its indexer record received instances and report them."""
    service.start()
    _send(service, *range(5))
    wait_for(lambda: _indexed(service) == 5)
    ready = json.loads(_get(service.http_port, "/ready"))
    assert ready == {"ready": True, "dependencies": {"spool": "ok", "dicom": "ok"}}
    assert "veritag_instances_received_total 5.0" in _get(service.http_port, "/metrics")
    counted = "veritag_instances_indexed_total 5.0"
    wait_for(lambda: counted in _get(service.indexer_http_port, "/metrics"))
    service.signal(signal.SIGTERM)
    assert service.wait() == 0
    wait_for(lambda: not _indexers(service))


def _indexers(service: Service) -> list[psutil.Process]:
    indexers = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        environment = process.info["environ"] or {}
        mine = environment.get("VERITAG_DATA_DIR") == str(service.data_dir)
        if mine and "index" in (process.info["cmdline"] or []):
            indexers.append(process)
    return indexers


def test_the_log_is_json_without_patient_data(service: Service) -> None:
    """Every line is a JSON object with an event and without patient names."""
    service.start()
    name = b"\x10\x00\x10\x00\x0a\x00\x00\x00SECRET^ONE"
    uid = "1.2.3"
    body = data_set(CT_IMAGE_STORAGE, uid)
    data = (
        body[: body.index(b"\x20\x00\x0d\x00")]
        + name
        + body[body.index(b"\x20\x00\x0d\x00") :]
    )
    with Peer(service.port).associate() as peer:
        assert peer.store(data, CT_IMAGE_STORAGE, uid).status == 0x0000
        assert peer.store(data, CT_IMAGE_STORAGE, "SECRET-hash").status == 0xA900
        assert peer.store(data, "SECRET", "SECRET^NAME").status == 0x0122
        peer.socket.sendall(b"\x04\x00\xff\xff\xff\xff")
        peer.read()
    wait_for(lambda: _indexed(service) == 1)
    service.signal(signal.SIGTERM)
    assert service.wait() == 0
    events = [json.loads(line)["event"] for line in service.log.splitlines()]
    assert {"listening", "instance_stored", "instances_indexed"} <= set(events)
    assert "SECRET" not in service.log


def test_reception_needs_neither_broker_nor_database(service: Service) -> None:
    """With broker and database unusable instances are still acknowledged."""
    service.broker_url = "redis://127.0.0.1:1/0"
    service.start(VERITAG_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    _send(service, *range(5))
    assert json.loads(_get(service.http_port, "/ready"))["ready"]
    spool = service.data_dir / "spool" / "ready"
    assert len(list(spool.iterdir())) == 5


def test_a_killed_listener_loses_nothing(service: Service) -> None:
    """After SIGKILL during a transfer exactly the acknowledged instances are kept."""
    service.start("--no-indexer")
    with Peer(service.port).associate() as peer:
        for number in range(3):
            uid = f"1.2.{number}"
            peer.store(data_set(CT_IMAGE_STORAGE, uid), CT_IMAGE_STORAGE, uid)
        peer.send_command(CT_IMAGE_STORAGE, "1.2.9")
        peer.send_data(b"half an", last=False)
        service.signal(signal.SIGKILL)
        service.wait()
    leftover = service.data_dir / "spool" / "incoming" / "x.dcm"
    leftover.write_bytes(b"half")
    service.start()
    wait_for(lambda: _indexed(service) == 3)
    assert not leftover.exists()
    _send(service, 9)
    wait_for(lambda: _indexed(service) == 4)


def test_a_dead_indexer_is_started_again(service: Service) -> None:
    """After SIGKILL of the indexer another one completes the work."""
    service.start()
    wait_for(lambda: _indexers(service))
    for process in _indexers(service):
        process.kill()
    _send(service, *range(3))
    wait_for(lambda: _indexed(service) == 3)


def test_an_orphaned_indexer_ends(service: Service) -> None:
    """After SIGKILL of the listener its indexer ends."""
    service.start()
    wait_for(lambda: _indexers(service))
    service.signal(signal.SIGKILL)
    service.wait()
    wait_for(lambda: not _indexers(service))


# The command as it is, but it does not give a predecessor seconds to end.
_IMPATIENT = """
from veritag.process import lifecycle
from veritag.cli import main
lifecycle.LOCK_SECONDS = 0.2
main()
"""


def test_two_listeners_do_not_share_a_spool(service: Service) -> None:
    """A second listener on the same data directory ends and names the setting."""
    service.start()
    environment = {
        **os.environ,
        "VERITAG_DATA_DIR": str(service.data_dir),
        "VERITAG_DICOM_PORT": "0",
    }
    second = subprocess.run(
        [sys.executable, "-c", _IMPATIENT, "listen", "--no-indexer"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert second.returncode == 1
    assert "VERITAG_DATA_DIR" in second.stderr
    assert "Traceback" not in second.stderr


def _cpu_share(processes: list[psutil.Process]) -> float:
    """Return the share of a core that the processes use within a second."""
    before = sum(sum(p.cpu_times()[:2]) for p in processes)
    time.sleep(1)
    return float(sum(sum(p.cpu_times()[:2]) for p in processes) - before)


def test_the_listener_is_small_and_idle(service: Service) -> None:
    """The process stays under 80 MB and uses next to no CPU without associations."""
    service.start()
    _send(service, *range(20))
    wait_for(lambda: _indexed(service) == 20)
    assert service.process
    processes = [psutil.Process(service.process.pid), *_indexers(service)]
    assert processes[0].memory_info().rss < 80 << 20
    # The first windows may contain the end of the indexing.
    assert any(_cpu_share(processes) < 0.03 for _ in range(15))


def test_an_outage_of_the_broker_heals_by_itself(
    service: Service, broker: object
) -> None:
    """Instances received while Redis is down are dispatched when it is back."""
    service.start()
    _send(service, 0)
    wait_for(lambda: _indexed(service) == 1)
    broker.kill()  # type: ignore[attr-defined]
    _send(service, *range(1, 10))
    wait_for(lambda: _indexed(service) == 10)
    broker.start()  # type: ignore[attr-defined]
    records = _records(service)
    wait_for(lambda: dispatching.undispatched_instances(records) == [])
    records.close()
    assert Path(service.data_dir / "spool" / "ready").exists()
