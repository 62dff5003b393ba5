"""Claims that must hold at the end of a run, checked on disk and records."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, select

from tests.faults.ledger import MISMATCH, OUT_OF_RESOURCES, SUCCESS, Fate, Ledger
from tests.faults.load import Load, Task, Way
from tests.faults.testbed import SystemUnderTest
from veritag.dicom.part10 import read_file_meta
from veritag.findings import FindingCode
from veritag.records.schema import (
    dead_letters,
    findings,
    instances,
    receptions,
    series,
    verdicts,
)
from veritag.records.states import ReceptionKind

_SHOWN = 5


@dataclass(frozen=True)
class Claim:
    """A claim, and the first cases that break it."""

    text: str
    checked: int
    broken: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether no case breaks it."""
        return not self.broken


def _claim(text: str, checked: int, broken: Iterator[str] | list[str]) -> Claim:
    found = list(broken)
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return Claim(text, checked, (*found[:_SHOWN], *more))


@dataclass
class Kept:
    """Content of the records at the end.

    Attributes
    ----------
    rows
        Digest to the instances recorded under it.
    kinds
        Instance id to the kinds of its receptions.
    """

    rows: dict[str, list[tuple[int, str, str, bool]]]
    kinds: dict[int, Counter[str]]
    verdicts: Counter[int]
    dead: int
    unsettled: int
    conflicts_found: int
    doubled_findings: int


def read_records(testbed: SystemUnderTest) -> Kept:
    """Read the content to compare."""
    with testbed.records.read() as connection:
        rows: defaultdict[str, list[tuple[int, str, str, bool]]] = defaultdict(list)
        columns = ("digest", "id", "sop_instance_uid", "archive_key", "conflict")
        for digest, *row in connection.execute(
            select(*(instances.c[name] for name in columns))
        ):
            rows[digest].append(tuple(row))
        kinds: defaultdict[int, Counter[str]] = defaultdict(Counter)
        for instance_id, kind in connection.execute(
            select(receptions.c.instance_id, receptions.c.kind)
        ):
            kinds[instance_id][kind] += 1
        return Kept(
            rows,
            kinds,
            Counter(connection.scalars(select(verdicts.c.instance_id))),
            _count(connection, dead_letters),
            _count(connection, series, series.c.settled_at.is_(None)),
            _conflict_findings(connection),
            _doubled(connection),
        )


def _count(connection: Connection, table: object, *conditions: object) -> int:
    query = select(func.count()).select_from(table)  # type: ignore[arg-type]
    return int(connection.scalar(query.where(*conditions)) or 0)  # type: ignore[arg-type]


def _conflict_findings(connection: Connection) -> int:
    code = findings.c.code == FindingCode.DUPLICATE_UID_CONFLICT.value
    return _count(connection, findings, code, findings.c.withdrawn_at.is_(None))


def _doubled(connection: Connection) -> int:
    keys = findings.c.series_id, findings.c.code, findings.c.tag, findings.c.observed
    doubled = select(*keys).group_by(*keys).having(func.count() > 1)
    return len(connection.execute(doubled).all())


def check(testbed: SystemUnderTest, load: Load, ledger: Ledger) -> list[Claim]:
    """Return every claim with the cases that break it."""
    kept = read_records(testbed)
    acknowledged = ledger.acknowledged
    return [
        *_on_disk(testbed, load, kept, acknowledged),
        *_recorded(kept, ledger),
        *_inspected(kept),
        *_forwarded(testbed, load, acknowledged),
        *_refused(load, ledger),
        _tidy(testbed, kept),
    ]


def _on_disk(
    testbed: SystemUnderTest, load: Load, kept: Kept, acknowledged: dict[str, Fate]
) -> Iterator[Claim]:
    text = "every acknowledged instance is in the archive, byte for byte"
    broken = []
    for digest, fate in acknowledged.items():
        rows = kept.rows.get(digest, [])
        path = testbed.data_dir / "archive" / rows[0][2] if rows else None
        if path is None or not _holds(path, load.make(_task(load, fate)).data):
            broken.append(f"{fate.sop_instance_uid} ({digest})")
    yield _claim(text, len(acknowledged), broken)


def _holds(path: Path, data: bytes) -> bool:
    if not path.is_file():
        return False
    return path.read_bytes()[read_file_meta(path).dataset_offset :] == data


def _recorded(kept: Kept, ledger: Ledger) -> Iterator[Claim]:
    acknowledged = ledger.acknowledged
    once = (d for d in acknowledged if len(kept.rows.get(d, ())) != 1)
    yield _claim("each is recorded exactly once", len(acknowledged), once)
    others = (d for d in kept.rows if d not in acknowledged)
    yield _claim("nothing else is recorded", len(kept.rows), others)
    yield _claim(
        "receptions lie between acknowledged and begun C-STOREs",
        sum(f.acknowledged for f in acknowledged.values()),
        _miscounted(kept, acknowledged),
    )
    yield _claim(
        "of each instance one reception is the first, all others are identical",
        len(kept.kinds),
        (
            f"instance {id_}: {dict(kinds)}"
            for id_, kinds in kept.kinds.items()
            if kinds[ReceptionKind.NEW] + kinds[ReceptionKind.CONFLICT] != 1
            or kinds[ReceptionKind.IDENTICAL] != kinds.total() - 1
        ),
    )


def _miscounted(kept: Kept, acknowledged: dict[str, Fate]) -> Iterator[str]:
    for digest, fate in acknowledged.items():
        for id_, *_ in kept.rows.get(digest, ()):
            came = kept.kinds[id_].total()
            if not fate.acknowledged <= came <= fate.begun:
                yield f"{digest}: {fate.acknowledged} <= {came} <= {fate.begun}"


def _forwarded(
    testbed: SystemUnderTest, load: Load, acknowledged: dict[str, Fate]
) -> Iterator[Claim]:
    if not testbed.destination.is_there:
        return
    sent: defaultdict[str, list[Task]] = defaultdict(list)
    for fate in acknowledged.values():
        sent[fate.sop_instance_uid].append(_task(load, fate))
    files = testbed.destination.files()
    missing = [
        uid
        for uid, tasks in sent.items()
        if not _is_one_of(files.get(uid), load, tasks)
    ]
    yield _claim("each was forwarded, byte for byte", len(sent), missing)


def _task(load: Load, fate: Fate) -> Task:
    return Task(fate.number, load.way(fate.number), altered=fate.altered)


def _is_one_of(path: Path | None, load: Load, tasks: list[Task]) -> bool:
    """Return whether a file holds one of these contents; the last one replaces the others."""
    if path is None:
        return False
    content = path.read_bytes()
    return any(content.endswith(load.make(task).data) for task in tasks)


def _inspected(kept: Kept) -> Iterator[Claim]:
    rows = [row for found in kept.rows.values() for row in found]
    missing = (f"instance {row[0]}" for row in rows if kept.verdicts[row[0]] != 1)
    yield _claim("each has exactly one verdict", len(rows), missing)
    gone = [f"{kept.dead} dead letters"] if kept.dead else []
    yield _claim("none was given up", len(rows), gone)
    late = [f"{kept.unsettled} series"] if kept.unsettled else []
    yield _claim("every series has settled", 1, late)
    twice = [f"{kept.doubled_findings} findings"] if kept.doubled_findings else []
    yield _claim("no finding is there twice", 1, twice)
    yield _claim("conflicts are marked, and found, where they are", *_conflicts(kept))


def _conflicts(kept: Kept) -> tuple[int, list[str]]:
    bytes_of: defaultdict[str, int] = defaultdict(int)
    marks: dict[str, set[bool]] = defaultdict(set)
    for found in kept.rows.values():
        for _, uid, _, conflict in found:
            bytes_of[uid] += 1
            marks[uid].add(conflict)
    wrong = [uid for uid, n in bytes_of.items() if marks[uid] != {n > 1}]
    several = sum(n > 1 for n in bytes_of.values())
    if several and not kept.conflicts_found:
        wrong.append("no finding DUPLICATE_UID_CONFLICT")
    return several, wrong


def _refused(load: Load, ledger: Ledger) -> Iterator[Claim]:
    known = {SUCCESS, MISMATCH, OUT_OF_RESOURCES}
    unexpected = (
        f"0x{status:04X}" for status in ledger.statuses if status not in known
    )
    yield _claim(
        "every refusal was 0xA700 or 0xA900", ledger.statuses.total(), unexpected
    )
    wrong = [f for f in ledger.fates.values() if load.way(f.number) is Way.WRONG]
    taken = (f.sop_instance_uid for f in wrong if f.acknowledged)
    yield _claim("what contradicts its command was refused", len(wrong), taken)
    right = [f for f in ledger.fates.values() if load.way(f.number) is not Way.WRONG]
    left = (f.sop_instance_uid for f in right if not f.acknowledged)
    yield _claim("all else was taken in the end", len(right), left)


def _tidy(testbed: SystemUnderTest, kept: Kept) -> Claim:
    spool, archive = testbed.data_dir / "spool", testbed.data_dir / "archive"
    files = [p for p in archive.rglob("*") if p.is_file()]
    keys = {row[2] for found in kept.rows.values() for row in found}
    stray = [str(p) for p in files if str(p.relative_to(archive)) not in keys]
    left = [str(p) for name in ("incoming", "ready") for p in (spool / name).iterdir()]
    return _claim("nothing is left over in spool or archive", len(files), left + stray)
