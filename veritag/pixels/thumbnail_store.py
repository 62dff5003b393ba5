"""Store of thumbnails, kept after the archive removes the files of instances."""

import os
import secrets
from pathlib import Path

from veritag.storage.archive import Archive
from veritag.storage.spool import sync_folder

SIZE = 256


class ThumbnailStore:
    """A folder of PNG files of 256 x 256 pixels, under the archive keys of instances."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._paths = Archive(root)

    def _path(self, archive_key: str) -> Path:
        return self._paths.path(archive_key).with_suffix(".png")

    def read(self, archive_key: str) -> bytes | None:
        """Return the PNG of an instance, None where none is stored."""
        try:
            return self._path(archive_key).read_bytes()
        except FileNotFoundError:
            return None

    def keep(self, archive_key: str, png: bytes) -> None:
        """Store a PNG durably (fsync); an existing one is not replaced.

        Raises
        ------
        OSError
            If the disk is full or fails.
        """
        path = self._path(archive_key)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        # A unique name, because several processes can draw the same instance.
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        try:
            with part.open("wb") as file:
                file.write(png)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)
        # All levels, because each of these folders may be new.
        for folder in (path.parent, self.root, self.root.parent):
            sync_folder(folder)
