"""Files to be sent, with the UIDs for presentation context and command.

A Part 10 file is sent byte for byte. A corrected copy is sent where its File Meta
Information names another instance than the Data Set, as in many de-identified archives, and
where the Data Set has an odd length.
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
class OutgoingFile:
    """A file that can be sent.

    Attributes
    ----------
    file_meta
        Corrected File Meta Information; None where the file is sent as it is.
    offset
        Position of the Data Set in the file, in bytes.
    data_set
        Only for a file without File Meta Information.
    """

    path: Path
    sop_class_uid: str
    transfer_syntax_uid: str
    file_meta: Dataset | None = None
    offset: int = 0
    data_set: Dataset | None = None

    @property
    def context(self) -> tuple[str, str]:
        """SOP Class and transfer syntax of its presentation context."""
        return self.sop_class_uid, self.transfer_syntax_uid


def read_outgoing_file(path: Path) -> OutgoingFile:
    """Read SOP Class, transfer syntax and needed corrections of a file.

    Raises
    ------
    UnusableInstance
        If it is not a DICOM file, or lacks SOP Class or SOP Instance UID.
    """
    try:
        meta, offset = split_dataset(path)
        sop_class, syntax = meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID
        if sop_class and syntax and meta.MediaStorageSOPInstanceUID:
            return _part10(path, meta, offset)
    except Exception:  # noqa: BLE001, S110 - the tolerant reader below raises the reason
        pass
    ds = open_instance(path)
    if not ds.get("SOPClassUID") or not ds.get("SOPInstanceUID"):
        raise UnusableInstance("it lacks SOP Class UID or SOP Instance UID")
    syntax = ds.file_meta.TransferSyntaxUID
    return OutgoingFile(path, ds.SOPClassUID, syntax, data_set=ds)


def _part10(path: Path, meta: Dataset, offset: int) -> OutgoingFile:
    syntax = str(meta.TransferSyntaxUID)
    is_odd = (path.stat().st_size - offset) % 2 == 1
    is_corrected = _correct_uids(meta, path, offset)
    replacement = meta if is_odd or is_corrected else None
    sop_class = str(meta.MediaStorageSOPClassUID)
    return OutgoingFile(path, sop_class, syntax, replacement, offset)


def _correct_uids(meta: Dataset, path: Path, offset: int) -> bool:
    """Set the UIDs to those of the Data Set; return whether they differed.

    pynetdicom copies them to the command, which must have the UIDs of the Data Set (PS3.7
    section 9.1.1.1).
    """
    uids = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    syntax = str(meta.TransferSyntaxUID)
    sop_class, sop_instance = _data_set_uids(path, offset, syntax, *uids)
    if (sop_class, sop_instance) == uids:
        return False
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance)
    return True


def _data_set_uids(
    path: Path, offset: int, syntax: str, sop_class: str, sop_instance: str
) -> tuple[str, str]:
    """Return the UIDs of the Data Set; the given ones where it has no valid ones."""
    with path.open("rb") as file:
        file.seek(offset)
        try:
            uids = read_uids(file, syntax, (SOP_CLASS_UID, SOP_INSTANCE_UID))
        except UnusableInstance:
            return sop_class, sop_instance
    return uids.get(SOP_CLASS_UID, sop_class), uids.get(SOP_INSTANCE_UID, sop_instance)


@contextmanager
def as_sent(outgoing: OutgoingFile) -> Iterator[Dataset | Path]:
    """Yield the file or its Data Set, or a corrected copy.

    A Data Set has an even length on the network (PS3.5 sections 7.1 and A.5).
    """
    if outgoing.file_meta is None:
        yield outgoing.data_set or outgoing.path
        return
    # A file, because pynetdicom sends in pieces only what it reads from a file.
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
