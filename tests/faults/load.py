"""The load: instances that are sent while parts of the system fail, made from a seed.

A few phantoms are drawn and encoded once; each instance is one of them under UIDs of
its own, which have the length of the placeholders that they replace. So thousands of
instances are cheap, and each can be made again to compare with what was stored.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from io import BytesIO
from typing import NamedTuple

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from tests.integration.listener.wire import EXPLICIT, IMPLICIT
from veritag.phantoms.series import phantom_series

SERIES_LENGTH = 12
_STUDY, _SERIES, _INSTANCE = 1, 2, 3
_PREAMBLE_AND_GROUP_LENGTH = 144


class Template(NamedTuple):
    """A phantom by kind, longer side in pixels and transfer syntax."""

    kind: str
    size: int
    syntax: str = EXPLICIT


# Several SOP Classes, 8 kB to 5 MB; the largest goes to disk while it comes in.
TEMPLATES = (
    Template("CT-HEAD", 128),
    Template("CT-CHEST", 256),
    Template("CT-ABDOMEN", 96, IMPLICIT),
    Template("MR-KNEE", 64),
    Template("MR-BRAIN", 256),
    Template("CR-HAND", 192),
    Template("MG-BREAST", 128),
    Template("PX-JAW", 160),
    Template("US-ABDOMEN", 96),
)
FULL_SIZE = (Template("CT-HEAD", 512), Template("CR-CHEST", 1600))
# One series in so many is of full size.
_FULL_SIZE_EVERY = 25


class Way(StrEnum):
    """The way in which an instance is sent."""

    ONCE = "once"
    TWICE = "twice"
    TOGETHER = "several at the same moment"
    CONFLICT = "other bytes under the same UID"
    CLASH = "other bytes under the same UID at the same moment"
    WRONG = "command and Data Set differ"


_SHARES = {
    Way.TWICE: 0.05,
    Way.TOGETHER: 0.03,
    Way.CONFLICT: 0.02,
    Way.CLASH: 0.01,
    Way.WRONG: 0.02,
}


@dataclass(frozen=True, slots=True)
class Instance:
    """One SOP Instance as it is sent.

    Attributes
    ----------
    named
        SOP Instance UID in the command; another one than in the Data Set if wrong.
    data
        The encoded Data Set.
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    named: str
    data: bytes

    @property
    def digest(self) -> str:
        """BLAKE2b-128 of transfer syntax and Data Set, as the records keep it."""
        syntax = self.transfer_syntax_uid.encode() + b"\0"
        return hashlib.blake2b(syntax + self.data, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Task:
    """One instance to be sent until it is answered 0x0000, or refused for good.

    Attributes
    ----------
    number
        Of the instance in the load.
    altered
        Send other bytes under its UID.
    together
        Tasks of the same group are sent at the same moment; None for none.
    """

    number: int
    way: Way
    altered: bool = False
    together: int | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """All instances and sendings of one run.

    Parameters
    ----------
    count
        How many instances, the second bytes of conflicts not counted.
    """

    seed: int
    count: int

    def way(self, number: int) -> Way:
        """Return how an instance is sent."""
        drawn = random.Random(f"{self.seed}-{number}").random()
        for way, share in _SHARES.items():
            if drawn < share:
                return way
            drawn -= share
        return Way.ONCE

    def tasks(self) -> Iterator[Task]:
        """Yield all sendings in their order."""
        for number in range(self.count):
            way = self.way(number)
            if way is Way.TOGETHER:
                yield from (Task(number, way, together=number) for _ in range(3))
            elif way is Way.CLASH:
                for altered in (False, True):
                    yield Task(number, way, altered=altered, together=number)
            else:
                yield Task(number, way)
            if way in {Way.TWICE, Way.CONFLICT}:
                yield Task(number, way, altered=way is Way.CONFLICT)

    def make(self, task: Task) -> Instance:
        """Return the instance of a task; the same one for the same task."""
        series = task.number // SERIES_LENGTH
        template = self._template(series)
        sop_class, data = _encoded(template)
        uids = {
            _STUDY: self._uid(_STUDY, series),
            _SERIES: self._uid(_SERIES, series),
            _INSTANCE: self._uid(_INSTANCE, task.number),
        }
        for what, uid in uids.items():
            data = data.replace(_placeholder(what).encode(), uid.encode())
        if task.altered:
            data = data[:-2] + bytes([data[-2] ^ 1, data[-1]])
        named = uids[_INSTANCE]
        if task.way is Way.WRONG:
            named = self._uid(_INSTANCE, self.count + task.number)
        uid, series_uid = uids[_INSTANCE], uids[_SERIES]
        return Instance(sop_class, uid, series_uid, template.syntax, named, data)

    def _template(self, series: int) -> Template:
        if series % _FULL_SIZE_EVERY == _FULL_SIZE_EVERY - 1:
            return FULL_SIZE[series // _FULL_SIZE_EVERY % len(FULL_SIZE)]
        return TEMPLATES[series % len(TEMPLATES)]

    def _uid(self, what: int, number: int) -> str:
        return f"2.25.1{self.seed % 10**8:08d}{what}{number:010d}"


def contexts() -> list[tuple[str, list[str]]]:
    """Return the presentation contexts to propose: SOP Class and transfer syntax."""
    pairs = {(_encoded(t)[0], t.syntax) for t in (*TEMPLATES, *FULL_SIZE)}
    return [(sop_class, [syntax]) for sop_class, syntax in sorted(pairs)]


def _placeholder(what: int) -> str:
    return f"2.25.9{'9' * 8}{what}{'9' * 10}"


@cache
def _encoded(template: Template) -> tuple[str, bytes]:
    """Return SOP Class and encoded Data Set with placeholders for the UIDs."""
    ds = phantom_series(
        template.kind, patient=1, instances=1, seed=77, size=template.size
    )[0]
    ds.StudyInstanceUID = _placeholder(_STUDY)
    ds.SeriesInstanceUID = _placeholder(_SERIES)
    ds.SOPInstanceUID = _placeholder(_INSTANCE)
    return str(ds.SOPClassUID), _bytes(ds, template.syntax)


def _bytes(ds: Dataset, syntax: str) -> bytes:
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    with BytesIO() as file:
        dcmwrite(file, ds, enforce_file_format=True)
        raw = file.getvalue()
    meta_length = int.from_bytes(raw[140:144], "little")
    return raw[_PREAMBLE_AND_GROUP_LENGTH + meta_length :]
