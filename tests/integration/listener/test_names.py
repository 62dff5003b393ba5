"""Names from the network, which reach no path, metric label or line of the log."""

import json
import re
import signal
import urllib.request

import pytest

from tests.integration.listener.conftest import Service
from tests.integration.listener.wire import CT_IMAGE_STORAGE, Peer, data_set

# What would break out of a line, a terminal, a label, a path or a format.
AE_TITLES = [
    "A\nB",
    '{"event":"x"}',
    "\x1b[31mRED",
    'x"} 1\ny{z="',
    "../../etc/x",
    "%s%n{0}",
    "\r\nforged",
    "caf\xe9\x85\x90",
    "\x00\x01\x7f",
]
FORGED = "EVIL"


@pytest.mark.parametrize("reception", ["fast", "stock"])
def test_names_stay_what_they_are(service: Service, reception: str) -> None:
    """Each log line is a JSON object, each label is known, and no file is new."""
    service.start("--no-indexer", VERITAG_RECEPTION=reception)
    folder = service.data_dir
    before = {path.relative_to(folder).parts[0] for path in folder.rglob("*")}
    answers = [_send(service.port, title) for title in AE_TITLES]
    # PS3.5 table 6.2-1: an AE title has no control characters and is ASCII.
    usable = [title.isascii() and title.isprintable() for title in AE_TITLES]
    assert answers == [0x0000 if is_usable else None for is_usable in usable]
    stored = list((folder / "spool" / "ready").iterdir())
    assert len(stored) == answers.count(0x0000)
    assert {path.relative_to(folder).parts[0] for path in folder.rglob("*")} == before
    url = f"http://127.0.0.1:{service.http_port}/metrics"
    with urllib.request.urlopen(url, timeout=45) as answer:
        metrics = answer.read().decode()
    assert all(re.match(r"(# |[a-z_]+(\{[ -~]*\})? )", m) for m in metrics.splitlines())
    assert FORGED not in metrics
    service.signal(signal.SIGTERM)
    assert service.wait() == 0
    for line in service.log.splitlines():
        assert line.isprintable()
        assert {"event", "level"} <= json.loads(line).keys()


def _send(port: int, title: str) -> int | None:
    """Store with a calling and called AE title; None without an association."""
    uid = "1.2.3"
    try:
        called = f"{title[::-1]}{FORGED}"[:16]
        with Peer(port, calling=title[:16], called=called) as peer:
            peer.associate()
            data = data_set(CT_IMAGE_STORAGE, uid)
            status = peer.store(data, CT_IMAGE_STORAGE, uid).status
            peer.store(data, FORGED + title, title)
            peer.release()
    except (AssertionError, OSError):
        return None
    return status
