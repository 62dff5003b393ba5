"""Small pictures of instances, kept when the archive lets go of their files."""

import os
import secrets
from pathlib import Path

from veritag.storage.archive import Archive
from veritag.storage.spool import sync_folder

SIZE = 256


class KeptPictures:
    """A folder of PNG files of 256 x 256 pixels, named as the archive names instances."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names = Archive(root)

    def _path(self, archive_key: str) -> Path:
        return self._names.path(archive_key).with_suffix(".png")

    def read(self, archive_key: str) -> bytes | None:
        """Return the PNG of an instance, None where none was kept."""
        try:
            return self._path(archive_key).read_bytes()
        except FileNotFoundError:
            return None

    def keep(self, archive_key: str, png: bytes) -> None:
        """Keep a PNG so that it survives a power cut; one that is there stays.

        Raises
        ------
        OSError
            If the disk is full or fails.
        """
        path = self._path(archive_key)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        try:
            with part.open("wb") as file:
                file.write(png)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)
        for folder in (path.parent, self.root, self.root.parent):
            sync_folder(folder)
