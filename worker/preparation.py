"""The preparation of one instance: from a file to its tags, defects and tile.

Decoding processes import this module: it loads no bundle, model or database.
"""

import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from pydicom import Dataset

from veritag.dicom.identity import Identity
from veritag.dicom.read_instance import open_instance
from veritag.dicom.tags import read_hints, read_identity, read_tags, read_uid
from veritag.errors import ArchiveUnavailable, NoPixels, UnusableInstance
from veritag.findings import Defect, TagValue, VerdictStatus
from veritag.judging.checks import check_instance, series_facts
from veritag.pixels.preprocessing import Preprocessing
from veritag.pixels.tile import Tile, make_tile


@dataclass(frozen=True, slots=True)
class Prepared:
    """An instance as it is read: its tags, and its tile or the reason why it has none.

    Attributes
    ----------
    tile
        None where status is not `inspected`.
    seconds
        Duration of the stages `read` and `tile`.
    """

    status: VerdictStatus
    tile: Tile | None = None
    reason: str | None = None
    tags: dict[str, TagValue] = field(default_factory=dict)
    hints: dict[str, dict[str, str]] = field(default_factory=dict)
    defects: tuple[Defect, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)
    identity: Identity | None = None
    sop_class_uid: str = ""
    sop_instance_uid: str | None = None
    series_instance_uid: str | None = None
    study_instance_uid: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)


def prepare(
    path: Path,
    pre: Preprocessing,
    *,
    max_frame_mb: int,
    identify: bool = True,
    received_at: datetime | None = None,
) -> Prepared:
    """Read and decode one instance.

    Parameters
    ----------
    identify
        Whether to read what reviewers identify the study by.
    received_at
        When the instance arrived; its dates are compared with it.

    Raises
    ------
    ArchiveUnavailable
        If the file could not be read for a reason outside the file.
    """
    started = time.perf_counter()
    try:
        ds = open_instance(path)
    except UnusableInstance as error:
        # An error of the disk has an errno; those that pydicom raises for damage have none.
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno is not None:
            raise ArchiveUnavailable(str(error)) from cause
        return Prepared(VerdictStatus.UNREADABLE, reason=str(error))
    read = time.perf_counter()
    try:
        prepared = prepare_dataset(
            ds,
            pre,
            max_frame_mb=max_frame_mb,
            identify=identify,
            received_at=received_at,
        )
    except RecursionError:  # pydicom parses some sequences only when they are read
        reason = "its sequences are nested too deeply"
        return Prepared(VerdictStatus.UNREADABLE, reason=reason)
    seconds = {"read": read - started, "tile": time.perf_counter() - read}
    return replace(prepared, seconds=seconds)


def prepare_dataset(
    ds: Dataset,
    pre: Preprocessing,
    *,
    max_frame_mb: int,
    identify: bool = True,
    received_at: datetime | None = None,
) -> Prepared:
    """Return tags, defects, identity and tile of a Data Set, without any file."""
    tile: Tile | None = None
    reason = None
    try:
        tile = make_tile(ds, pre, max_frame_mb=max_frame_mb)
        status = VerdictStatus.INSPECTED
    except NoPixels as error:
        status, reason = VerdictStatus.NO_PIXELS, str(error)
    except UnusableInstance as error:
        status, reason = VerdictStatus.UNREADABLE, str(error)
    return Prepared(
        status,
        tile,
        reason,
        tags=read_tags(ds),
        hints=read_hints(ds),
        defects=check_instance(ds, received_at=received_at),
        facts=series_facts(ds),
        identity=read_identity(ds) if identify else None,
        sop_class_uid=read_uid(ds, "SOPClassUID") or "",
        sop_instance_uid=read_uid(ds, "SOPInstanceUID"),
        series_instance_uid=read_uid(ds, "SeriesInstanceUID"),
        study_instance_uid=read_uid(ds, "StudyInstanceUID"),
    )
