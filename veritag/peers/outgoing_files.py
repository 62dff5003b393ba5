"""Files to be sent: what a presentation context and a command must say of each.

A Part 10 file is sent byte for byte. Only where its File Meta Information names another
instance than the Data Set, as in many de-identified archives, or where the Data Set is
of odd length, a corrected copy is sent.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID
from pynetdicom.dsutils import split_dataset

from veritag.dicom.elements import SOP_CLASS_UID, SOP_INSTANCE_UID, read_uids
from veritag.dicom.read_instance import open_instance
from veritag.errors import UnusableInstance

_PREAMBLE = bytes(128) + b"DICM"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A file that can be sent.

    Attributes
    ----------
    file_meta
        What replaces the file's own; only where a corrected copy is to be sent.
    offset
        Where the Data Set begins in the file.
    data_set
        Only where there is no File Meta Information.
    """

    path: Path
    sop_class_uid: str
    transfer_syntax_uid: str
    file_meta: Dataset | None = None
    offset: int = 0
    data_set: Dataset | None = None

    @property
    def context(self) -> tuple[str, str]:
        """The presentation context over which it is sent."""
        return self.sop_class_uid, self.transfer_syntax_uid


def look_at(path: Path) -> Outgoing:
    """Read what the contexts are negotiated for.

    Raises
    ------
    UnusableInstance
        If it is no DICOM file, or does not say who it is.
    """
    try:
        meta, offset = split_dataset(path)
        sop_class, syntax = meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID
        if sop_class and syntax and meta.MediaStorageSOPInstanceUID:
            return _part10(path, meta, offset)
    except Exception:  # noqa: BLE001, S110 - the tolerant reader tells what is wrong
        pass
    ds = open_instance(path)
    if not ds.get("SOPClassUID") or not ds.get("SOPInstanceUID"):
        raise UnusableInstance("it names no SOP class or no SOP Instance UID")
    syntax = ds.file_meta.TransferSyntaxUID
    return Outgoing(path, ds.SOPClassUID, syntax, data_set=ds)


def _part10(path: Path, meta: Dataset, offset: int) -> Outgoing:
    syntax = str(meta.TransferSyntaxUID)
    is_odd = (path.stat().st_size - offset) % 2 == 1
    is_misnamed = _name_after_data_set(meta, path, offset)
    replacement = meta if is_odd or is_misnamed else None
    sop_class = str(meta.MediaStorageSOPClassUID)
    return Outgoing(path, sop_class, syntax, replacement, offset)


def _name_after_data_set(meta: Dataset, path: Path, offset: int) -> bool:
    """Correct what the meta information says; return whether it was wrong.

    pynetdicom puts it into the command, which must name what is sent (PS3.7 9.1.1.1).
    """
    said = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    sop_class, sop_instance = _named(path, offset, str(meta.TransferSyntaxUID), *said)
    if (sop_class, sop_instance) == said:
        return False
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance)
    return True


def _named(
    path: Path, offset: int, syntax: str, sop_class: str, sop_instance: str
) -> tuple[str, str]:
    """Return the Data Set's own UIDs; where it has none that are usable, the given."""
    with path.open("rb") as file:
        file.seek(offset)
        try:
            uids = read_uids(file, syntax, (SOP_CLASS_UID, SOP_INSTANCE_UID))
        except UnusableInstance:
            return sop_class, sop_instance
    return uids.get(SOP_CLASS_UID, sop_class), uids.get(SOP_INSTANCE_UID, sop_instance)


@contextmanager
def as_sent(outgoing: Outgoing) -> Iterator[Dataset | Path]:
    """Yield what is sent: the file itself or a corrected copy.

    A Data Set is of even length on the wire (PS3.5 7.1, A.5).
    """
    if outgoing.file_meta is None:
        yield outgoing.data_set or outgoing.path
        return
    with NamedTemporaryFile(suffix=".dcm") as copy:
        copy.write(_PREAMBLE + _encoded(outgoing.file_meta))
        data_set = outgoing.path.read_bytes()[outgoing.offset :]
        copy.write(data_set + bytes(len(data_set) % 2))
        copy.flush()
        yield Path(copy.name)


def _encoded(file_meta: Dataset) -> bytes:
    with DicomBytesIO() as encoded:
        meta = FileMetaDataset(file_meta)
        write_file_meta_info(encoded, meta, enforce_standard=False)
        return bytes(encoded.getvalue())
