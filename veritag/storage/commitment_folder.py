"""Storage commitment requests (PS3.4 annex J) on their way to the records.

The listener makes each request durable as a file beside the spool before it answers;
the delivery reads the file. File names are made here and contain no received text.
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
"""SOP Class UID of the Storage Commitment Push Model."""
PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"
"""Its well-known SOP Instance UID."""

# Requests that may wait for the delivery; above this number new ones are refused.
MOST_WAITING = 10_000
_SUFFIX = ".json"


class NoRoom(RetryableError):
    """The reserve of free disk space is reached, or too many requests wait."""


class DamagedRequest(RejectError):
    """A file that does not hold a request."""


@dataclass(frozen=True, slots=True)
class ReferencedInstance:
    """An instance that the requestor wants to delete once its storage is committed."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """An N-ACTION request, its requestor and its time."""

    transaction_uid: str
    references: tuple[ReferencedInstance, ...]
    calling_ae_title: str
    called_ae_title: str
    association_id: str
    received_at: datetime


class CommitmentFolder:
    """The folder of requests beside one spool.

    Parameters
    ----------
    spool_dir
        Folder of the spool.
    reserve_mb
        Free MB below which requests are refused.
    """

    def __init__(self, spool_dir: Path, reserve_mb: int = 0) -> None:
        self.root = spool_dir / "commitments"
        # On the same file system, so that rename works; the listener empties it at start.
        self._incoming = spool_dir / "incoming"
        self._reserve = reserve_mb * MEGABYTE

    def prepare(self) -> None:
        """Make the folder durable: it survives a power cut."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o750)
        sync_folder(self.root.parent)

    def store(self, request: CommitmentRequest) -> str:
        """Make a request durable; return its name.

        Raises
        ------
        NoRoom
            If the reserve is reached, or too many requests wait.
        OSError
            If the disk fails; nothing is left behind.
        """
        content = json.dumps(asdict(request), default=datetime.isoformat).encode()
        self._require_room(len(content))
        name = f"{time.time_ns():020d}-{secrets.token_hex(8)}{_SUFFIX}"
        part, final = self._incoming / name, self.root / name
        try:
            # The order makes the request durable: file, then its name, then the folder.
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
        """Yield each name with its request, or with the error of reading it, oldest first."""
        for name in self.names():
            try:
                yield name, _read(self.root / name)
            except (DamagedRequest, OSError) as error:
                yield name, error

    def remove(self, name: str) -> None:
        """Delete a request that the records hold."""
        (self.root / name).unlink(missing_ok=True)

    def set_aside(self, name: str) -> None:
        """Rename a damaged file: it is kept for a person and no longer read."""
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
        received_at = datetime.fromisoformat(content.pop("received_at"))
        return CommitmentRequest(
            references=references, received_at=received_at, **content
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedRequest(
            f"{path.name} is not a storage commitment request"
        ) from error
