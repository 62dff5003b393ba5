"""Instances and verdicts that are stored while their series settles."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from tests.unit.veritag.records.held_commit import commit_held, statement_sent
from veritag.findings import SeriesJudgement, Verdict
from veritag.records import Records
from veritag.records.inspection.series_snapshot import series_snapshot
from veritag.records.inspection.settling import settle
from veritag.records.inspection.verdicts import store_verdicts
from veritag.records.reception.registration import register
from veritag.records.schema import series
from veritag.records.states import SettleReason
from veritag.storage.stored_instance import StoredInstance

Make = Callable[..., StoredInstance]
Judge = Callable[..., Verdict]


def settle_meanwhile(records: Records, url: str, act: Callable[[Records], Any]) -> bool:
    """Settle the only series beside an uncommitted change; return whether it is open."""
    snapshot = series_snapshot(records, 1, "vb-1")
    assert snapshot is not None
    nothing = SeriesJudgement(1, False, (), ())
    arguments = (records, snapshot, nothing, "vb-1", SettleReason.IDLE)
    settling = threading.Thread(target=settle, args=arguments)
    with commit_held(url, act), statement_sent(records):
        settling.start()
    settling.join(60)
    with records.read() as connection:
        query = select(series.c.settled_at).where(series.c.id == snapshot.series_id)
        return connection.scalar(query) is None


@pytest.fixture
def inspected(records: Records, reception: Make, verdict: Judge) -> int:
    """An inspected instance of the only series."""
    [instance_id] = register(records, [reception(seconds_ago=10)]).new_ids
    store_verdicts(records, [(instance_id, verdict())])
    return instance_id


@pytest.mark.usefixtures("inspected")
def test_an_arrival_that_is_not_committed_yet_is_not_missed(
    records: Records, records_url: str, reception: Make
) -> None:
    """An instance that is recorded during settling keeps its series open."""
    late = [reception()]
    assert settle_meanwhile(records, records_url, lambda other: register(other, late))


@pytest.mark.usefixtures("inspected")
def test_a_verdict_that_is_not_committed_yet_is_not_missed(
    records: Records, records_url: str, reception: Make, verdict: Judge
) -> None:
    """A verdict that is stored during settling keeps its series open."""
    [late] = register(records, [reception()]).new_ids

    def store(other: Records) -> None:
        store_verdicts(other, [(late, verdict())])

    assert settle_meanwhile(records, records_url, store)


@pytest.mark.usefixtures("inspected")
def test_a_namesake_that_is_not_committed_yet_is_not_missed(
    records: Records, records_url: str, reception: Make
) -> None:
    """A series of the same UID in another study, recorded during settling, keeps it open."""
    other_study = [reception(study_instance_uid="1.2.3.200")]
    assert settle_meanwhile(
        records, records_url, lambda other: register(other, other_study)
    )
