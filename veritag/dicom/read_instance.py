"""Opening of files as Data Sets, tolerant of common errors of scanners and archives."""

import logging
import warnings
import zlib
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from veritag.errors import OutOfMemory, UnusableInstance

PREAMBLE = 128
MAX_INFLATED_MB = 2048

_HEAD = 2048
_DEFLATED = str(DeflatedExplicitVRLittleEndian).encode()
# Tag, VR and length of (0002,0000), whose value is the length of the rest in bytes.
_META_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"

_LOGGER = logging.getLogger("pydicom")

_OTHER_FORMATS = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"{", "a JSON text"),
    (b"<?xml", "an XML text"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
)

_FIRST_GROUPS = (0x0002, 0x0004, 0x0008)
"""Groups that a Data Set can start with (PS3.5 7.1: elements are in ascending order)."""

_SILENCED_MODULES = r"(pydicom|pylibjpeg|veritag\.(dicom|judging|pixels))\b"


def _silence_pydicom() -> None:
    """Keep pydicom's warnings about values off stderr: they quote patient data.

    Veritag checks values itself, so these warnings are not needed.
    """
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    if _LOGGER.level != logging.CRITICAL:
        _LOGGER.setLevel(logging.CRITICAL)
    # `catch_warnings` is not thread-safe, a permanent filter is.
    newest = warnings.filters[0] if warnings.filters else None
    if newest is None or getattr(newest[3], "pattern", None) != _SILENCED_MODULES:
        warnings.filterwarnings(
            "ignore", category=UserWarning, module=_SILENCED_MODULES
        )


def open_instance(path: Path) -> Dataset:
    """Return the Data Set of a Part 10 file or of a bare Data Set.

    `file_meta.TransferSyntaxUID` is always set: to the value in the file, else to the
    encoding that pydicom detected.

    Raises
    ------
    UnusableInstance
        With a readable reason without patient data, if the file is not a DICOM object.
    """
    _silence_pydicom()
    try:
        return _open(path)
    except UnusableInstance:
        raise
    except zlib.error as error:
        raise UnusableInstance("the deflated Data Set is damaged") from error
    except OSError as error:
        raise UnusableInstance(
            f"the file cannot be read: {error.strerror or 'it ends too early'}"
        ) from error
    except MemoryError as error:
        raise OutOfMemory("not enough memory to read the file") from error
    except RecursionError as error:
        raise UnusableInstance("its sequences are nested too deeply") from error
    except Exception as error:
        # A malformed file can make the parser raise any exception.
        raise UnusableInstance(
            f"the file is damaged: it cannot be parsed ({type(error).__name__})"
        ) from error


def _open(path: Path) -> Dataset:
    with path.open("rb") as file:
        head = file.read(_HEAD)
        _require_dicom_head(head)
        if _DEFLATED in head:
            _require_bounded(file, head)
        file.seek(0)
        # Forced, because old archives hold bare Data Sets without preamble and prefix.
        ds = pydicom.dcmread(file, force=True)
    if not _has_prefix(head):
        _require_plausible(ds)
    elif not ds and not ds.file_meta:
        raise UnusableInstance("the file ends before its Data Set")
    _refuse_directory(ds)
    _complete_meta(ds)
    return ds


def _has_prefix(head: bytes) -> bool:
    return head[PREAMBLE : PREAMBLE + 4] == b"DICM"


def _require_bounded(file: BinaryIO, head: bytes) -> None:
    """Refuse a deflated Data Set that would exhaust the memory when inflated."""
    start = head.find(_META_LENGTH, PREAMBLE)
    if start < 0:
        return
    start += len(_META_LENGTH) + 4
    file.seek(start + int.from_bytes(head[start - 4 : start], "little"))
    # Counted piece by piece, since pydicom would inflate all of it at once.
    inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while not inflater.eof:
        piece = inflater.unconsumed_tail or file.read(1 << 16)
        if not piece:
            return
        size += len(inflater.decompress(piece, 1 << 20))
        if size > MAX_INFLATED_MB << 20:
            raise UnusableInstance(
                f"the deflated Data Set is over {MAX_INFLATED_MB} MB when inflated"
            )


def _require_dicom_head(head: bytes) -> None:
    if not head:
        raise UnusableInstance("the file is empty")
    if _has_prefix(head):
        return
    start = head.lstrip().lower()
    for magic, name in _OTHER_FORMATS:
        if start.startswith(magic.lower()):
            raise UnusableInstance(f"not a DICOM file but {name}")


def _require_plausible(ds: Dataset) -> None:
    """Refuse bytes that were parsed by force but do not look like DICOM."""
    tags = [*ds.file_meta.keys(), *ds.keys()] if hasattr(ds, "file_meta") else [*ds]
    first = min((tag.group for tag in tags), default=None)
    if first not in _FIRST_GROUPS:
        raise UnusableInstance("not a DICOM file")


def _refuse_directory(ds: Dataset) -> None:
    stored = ds.file_meta.get("MediaStorageSOPClassUID") if ds.file_meta else None
    if stored == MediaStorageDirectoryStorage or "DirectoryRecordSequence" in ds:
        raise UnusableInstance("a DICOMDIR, which lists files and holds no picture")


def _complete_meta(ds: Dataset) -> None:
    """Set the transfer syntax that pydicom detected where the file has none."""
    if getattr(ds, "file_meta", None) is None:
        ds.file_meta = FileMetaDataset()
    if not ds.file_meta.get("TransferSyntaxUID"):
        ds.file_meta.TransferSyntaxUID = _detected_syntax(ds)


def _detected_syntax(ds: Dataset) -> UID:
    implicit, little = ds.original_encoding
    if little is False:
        return ExplicitVRBigEndian
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
