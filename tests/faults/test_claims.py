"""The checks at the end of a run find each kind of loss."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import delete, insert, select, update

from services.indexer.indexer import describe
from tests.faults.claims import check
from tests.faults.failing_parts import Destination
from tests.faults.ledger import Ledger
from tests.faults.load import Load
from tests.faults.testbed import SystemUnderTest
from veritag.dicom.part10 import encode_file_meta
from veritag.findings import SeriesJudgement, Verdict, VerdictStatus
from veritag.records import Records
from veritag.records.inspection.series_snapshot import series_snapshot
from veritag.records.inspection.settling import settle
from veritag.records.inspection.verdicts import store_verdicts
from veritag.records.reception.registration import register
from veritag.records.schema import instances, receptions, series, verdicts
from veritag.records.states import SettleReason
from veritag.storage.archive import Archive
from veritag.storage.spool import Spool
from veritag.storage.stored_instance import Provenance


@dataclass
class Kept:
    """The state that a run leaves and the checks read."""

    data_dir: Path
    records: Records
    destination: Destination


@dataclass
class Ended:
    """A run without loss, and ways to damage its result."""

    kept: Kept
    load: Load
    ledger: Ledger

    def broken(self) -> set[str]:
        """Return the broken claims."""
        claims = check(cast("SystemUnderTest", self.kept), self.load, self.ledger)
        return {claim.text for claim in claims if not claim.holds}

    def files(self) -> list[Path]:
        """Return the archive's files."""
        return sorted((self.kept.data_dir / "archive").rglob("*.dcm"))

    def change(self, statement: Any) -> None:
        """Change the records."""
        with self.kept.records.begin() as connection:
            connection.execute(statement)


@pytest.fixture
def ended(tmp_path: Path) -> Iterator[Ended]:
    """Three instances that were sent once and completely processed."""
    records = Records.open(f"sqlite:///{tmp_path / 'records.sqlite3'}")
    records.migrate()
    load, ledger = Load(3, 3), Ledger()
    spool, archive = Spool(tmp_path / "spool"), Archive(tmp_path / "archive")
    spool.prepare()
    archive.root.mkdir()
    for task in load.tasks():
        instance = load.make(task)
        ledger.begin(instance.digest, task.number, instance.named, altered=task.altered)
        ledger.answered(instance.digest, 0x0000)
        origin = Provenance("A", "B", "127.0.0.1", "a1", _now())
        what = (
            instance.sop_class_uid,
            instance.sop_instance_uid,
            instance.transfer_syntax_uid,
        )
        name = spool.store((encode_file_meta(*what, origin), instance.data))
        described = describe(spool.path(name))
        archive.put(spool.path(name), described.digest)
        [id_] = register(records, [described]).new_ids
        store_verdicts(
            records, [(id_, Verdict("vb", VerdictStatus.INSPECTED, "1", {}))]
        )
        spool.remove(name)
    snapshot = series_snapshot(records, 1, "vb")
    assert snapshot is not None
    settle(
        records, snapshot, SeriesJudgement(3, False, (), ()), "vb", SettleReason.IDLE
    )
    yield Ended(Kept(tmp_path, records, Destination(tmp_path)), load, ledger)
    records.close()


def _now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)


def test_nothing_is_found_where_all_is_well(ended: Ended) -> None:
    """A run without loss has no broken claim."""
    assert ended.broken() == set()


def _flip_a_byte(ended: Ended) -> None:
    content = bytearray(ended.files()[0].read_bytes())
    content[-1] ^= 1
    ended.files()[0].write_bytes(content)


def _lose_a_file(ended: Ended) -> None:
    ended.files()[0].unlink()


def _lose_a_row(ended: Ended) -> None:
    first = select(instances.c.id).limit(1).scalar_subquery()
    for table in (verdicts, receptions):
        ended.change(delete(table).where(table.c.instance_id == first))
    ended.change(delete(instances).where(instances.c.id == first))


def _double_a_verdict(ended: Ended) -> None:
    with ended.kept.records.read() as connection:
        row = dict(connection.execute(select(verdicts)).mappings().first() or {})
    ended.change(insert(verdicts).values({**row, "id": 99, "bundle_id": "other"}))


def _count_a_reception_too_many(ended: Ended) -> None:
    with ended.kept.records.read() as connection:
        row = dict(connection.execute(select(receptions)).mappings().first() or {})
    ended.change(insert(receptions).values({**row, "spool_name": "x"}))


def _open_a_series(ended: Ended) -> None:
    ended.change(update(series).values(settled_at=None))


def _leave_something_behind(ended: Ended) -> None:
    (ended.kept.data_dir / "spool" / "incoming" / "half.dcm").write_bytes(b"")


def _mark_a_conflict(ended: Ended) -> None:
    ended.change(update(instances).where(instances.c.id == 1).values(conflict=True))


def _refuse_oddly(ended: Ended) -> None:
    ended.ledger.answered(next(iter(ended.ledger.fates)), 0x0110)


@pytest.mark.parametrize(
    ("harm", "claim"),
    [
        (
            _flip_a_byte,
            "every acknowledged instance is in the archive, byte for byte",
        ),
        (
            _lose_a_file,
            "every acknowledged instance is in the archive, byte for byte",
        ),
        (_lose_a_row, "each is recorded exactly once"),
        (_double_a_verdict, "each has exactly one verdict"),
        (
            _count_a_reception_too_many,
            "receptions lie between acknowledged and begun C-STOREs",
        ),
        (_open_a_series, "every series has settled"),
        (_leave_something_behind, "nothing is left over in spool or archive"),
        (_mark_a_conflict, "conflicts are marked, and found, where they are"),
        (_refuse_oddly, "every refusal was 0xA700 or 0xA900"),
    ],
)
def test_harm_is_noticed(
    ended: Ended, harm: Callable[[Ended], None], claim: str
) -> None:
    """Each kind of loss, doubling or leftover breaks its own claim."""
    harm(ended)
    assert claim in ended.broken()
