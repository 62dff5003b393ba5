"""TCP ports for tests, reserved until the process that got them ends.

A port that is free now may be taken a moment later by another test process. These ports
lie below the ephemeral ports of Linux, and a lock file reserves each.
"""

import fcntl
import os
import secrets
import socket
import tempfile
from pathlib import Path
from typing import IO

from services.system.ports import is_taken

_PORTS = tuple(range(20_000, 30_000))
_FOLDER = Path(tempfile.gettempdir()) / f"veritag-test-ports-{os.getuid()}"
_claims: list[IO[bytes]] = []


def free_port() -> int:
    """Return a port of 127.0.0.1 that is reserved until this process ends."""
    _FOLDER.mkdir(exist_ok=True)
    start = secrets.randbelow(len(_PORTS))  # random is seeded alike in every process
    for port in (*_PORTS[start:], *_PORTS[:start]):
        if _claim(port) and not is_taken("127.0.0.1", port):
            return port
    raise OSError("no port is free")


def is_open(port: int) -> bool:
    """Tell whether a server accepts connections on a port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _claim(port: int) -> bool:
    lock = (_FOLDER / str(port)).open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return False
    _claims.append(lock)
    return True
