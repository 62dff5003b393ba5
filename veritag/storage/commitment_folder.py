"""Requests of storage commitment on their way from the network to the records.

PS3.4 annex J. The listener makes each one durable as a file beside the spool before it
answers; the delivery takes it from there. Names are the server's own.
"""

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from veritag.errors import RejectError, RetryableError
from veritag.storage.spool import MEGABYTE, sync_folder

PUSH_MODEL = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class."""
PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"
"""Its one well-known SOP Instance."""

# So many requests may wait for the delivery; then it must be running before more come.
MOST_WAITING = 10_000
_SUFFIX = ".json"


class NoRoom(RetryableError):
    """The disk's reserve is reached, or too many requests wait."""


class DamagedRequest(RejectError):
    """A file that is no request of ours."""


@dataclass(frozen=True, slots=True)
class ReferencedInstance:
    """An instance that somebody wants to let go of."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """What an N-ACTION asked for, by whom and when."""

    transaction_uid: str
    references: tuple[ReferencedInstance, ...]
    calling_ae_title: str
    called_ae_title: str
    association_id: str
    received_at: datetime


class CommitmentFolder:
    """The requests that lie beside one spool.

    Parameters
    ----------
    spool_dir
        Folder of the spool.
    reserve_mb
        Free MB below which no more is taken.
    """

    def __init__(self, spool_dir: Path, reserve_mb: int = 0) -> None:
        self.root = spool_dir / "commitments"
        # On the same file system, and swept by the listener when it starts.
        self._incoming = spool_dir / "incoming"
        self._reserve = reserve_mb * MEGABYTE

    def prepare(self) -> None:
        """Make the folder, so that it survives a power cut with what it holds."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o750)
        sync_folder(self.root.parent)

    def store(self, request: CommitmentRequest) -> str:
        """Make a request durable; return its name.

        Raises
        ------
        NoRoom
        OSError
            If the disk fails; nothing is left behind.
        """
        content = json.dumps(asdict(request), default=datetime.isoformat).encode()
        self._require_room(len(content))
        name = f"{time.time_ns():020d}-{secrets.token_hex(8)}{_SUFFIX}"
        part, final = self._incoming / name, self.root / name
        try:
            _write(part, content)
            part.rename(final)
            sync_folder(self.root)
        except OSError:
            for path in (part, final):
                path.unlink(missing_ok=True)
            raise
        return name

    def _require_room(self, size: int) -> None:
        if shutil.disk_usage(self.root).free - size < self._reserve:
            raise NoRoom("Not enough free disk space")
        if len(self.names()) >= MOST_WAITING:
            raise NoRoom("Too many requests wait for their report")

    def names(self) -> list[str]:
        """Return the names of the requests, oldest first."""
        if not self.root.is_dir():
            return []
        with os.scandir(self.root) as entries:
            return sorted(e.name for e in entries if e.name.endswith(_SUFFIX))

    def requests(
        self,
    ) -> Iterator[tuple[str, CommitmentRequest | DamagedRequest | OSError]]:
        """Yield names and requests, or why there is none, oldest first."""
        for name in self.names():
            try:
                yield name, _read(self.root / name)
            except (DamagedRequest, OSError) as error:
                yield name, error

    def remove(self, name: str) -> None:
        """Let go of a request that is recorded."""
        (self.root / name).unlink(missing_ok=True)

    def set_aside(self, name: str) -> None:
        """Keep a damaged file for a person, out of the way of the others."""
        (self.root / name).rename(self.root / f"{name}.damaged")


def _write(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o640), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> CommitmentRequest:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        references = tuple(
            ReferencedInstance(**pair) for pair in content.pop("references")
        )
        moment = datetime.fromisoformat(content.pop("received_at"))
        return CommitmentRequest(references=references, received_at=moment, **content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedRequest(f"{path.name} is no request of ours") from error
