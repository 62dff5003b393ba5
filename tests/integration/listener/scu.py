"""Other Storage SCUs: pynetdicom with unchanged encoded Data Sets, and DCMTK."""

import os
import struct
import subprocess
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydicom.filereader import read_file_meta_info
from pynetdicom import AE, _config, evt
from pynetdicom.dsutils import split_dataset
from pynetdicom.presentation import build_context

from tests.integration.listener.wire import CT_IMAGE_STORAGE
from tests.real_parts import program
from veritag.dicom.elements import DEFLATED, EXPLICIT_BIG
from veritag.dicom.part10 import encode_file_meta, read_file_meta
from veritag.peers.association import disable_nagle, leave_answers_to_requests
from veritag.storage.stored_instance import Provenance

# As many as an A-ASSOCIATE-RQ can number (PS3.8 section 9.3.2.2).
MOST_CONTEXTS = 128


def dcmtk(tool: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program of DCMTK; without Nagle's delay, which is its default."""
    return subprocess.run(
        [program(tool), *map(str, arguments)],
        env={**os.environ, "TCP_NODELAY": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write_file(
    path: Path, sop_class: str, sop_instance: str, syntax: str, body: bytes
) -> Path:
    """Write a Part 10 file around an encoded Data Set."""
    origin = Provenance("CT1", "VERITAG", "127.0.0.1", "a1", datetime.now(UTC))
    path.write_bytes(encode_file_meta(sop_class, sop_instance, syntax, origin) + body)
    return path


def encoded(path: Path) -> bytes:
    """Return the encoded Data Set of a file."""
    _, offset = split_dataset(path)
    return path.read_bytes()[offset:]


def kept(path: Path) -> bytes:
    """Return the Data Set of a file in the spool or the archive."""
    return path.read_bytes()[read_file_meta(path).dataset_offset :]


def tiny(syntax: str) -> bytes:
    """Encode a minimal Data Set in a transfer syntax, with arbitrary pixel data."""
    explicit = struct.pack("<HH2sH", 8, 0x16, b"UI", 26) + CT_IMAGE_STORAGE.encode()
    explicit += b"\0" + struct.pack("<HH2sH", 8, 0x18, b"UI", 6) + b"1.2.3\0"
    data = explicit + struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OB", 0, 8) + b"anything"
    if syntax in DEFLATED:
        data = zlib.compress(data)[2:-4]
    elif syntax == EXPLICIT_BIG:
        data = struct.pack(">HH2sH", 8, 0x16, b"UI", 26) + data[8:34]
        data += struct.pack(">HH2sH", 8, 0x18, b"UI", 6) + b"1.2.3\0"
    return data


@contextmanager
def _as_they_are() -> Iterator[None]:
    """Let pynetdicom send the bytes of files in pieces."""
    before = _config.STORE_SEND_CHUNKED_DATASET
    _config.STORE_SEND_CHUNKED_DATASET = True
    try:
        yield
    finally:
        _config.STORE_SEND_CHUNKED_DATASET = before


def pynetdicom_send(
    port: int, files: Sequence[Path], called: str = "ANY-SCP"
) -> list[int | None]:
    """Send files as CT1; return the status of each, None where no context was accepted.

    One context is proposed for each SOP Class and transfer syntax, over as many
    associations as it takes.
    """
    metas = [read_file_meta_info(path) for path in files]
    pairs = [(m.MediaStorageSOPClassUID, m.TransferSyntaxUID) for m in metas]
    contexts = list(dict.fromkeys(pairs))
    statuses: dict[Path, int | None] = {}
    for start in range(0, len(contexts), MOST_CONTEXTS):
        batch = contexts[start : start + MOST_CONTEXTS]
        group = [f for f, w in zip(files, pairs, strict=True) if w in batch]
        statuses |= _send_group(port, called, batch, group)
    return [statuses[path] for path in files]


def _send_group(
    port: int, called: str, contexts: Sequence[tuple[str, str]], files: Sequence[Path]
) -> dict[Path, int | None]:
    proposed = [build_context(*context) for context in contexts]
    assoc = AE("CT1").associate(
        "127.0.0.1",
        port,
        contexts=proposed,
        ae_title=called,
        evt_handlers=[(evt.EVT_CONN_OPEN, disable_nagle)],
    )
    if not assoc.is_established:  # not one context was accepted
        return dict.fromkeys(files)
    leave_answers_to_requests(assoc)
    with _as_they_are():
        try:
            return {path: _status(assoc.send_c_store, path) for path in files}
        finally:
            assoc.release()


def _status(send: object, path: Path) -> int | None:
    try:
        return int(send(path).Status)  # type: ignore[operator]
    except ValueError:  # no context was accepted for it
        return None
