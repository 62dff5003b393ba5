"""Settling: which series are complete, and storage of their findings."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TypeAlias

from sqlalchemy import Connection, and_, exists, or_, select, update

from veritag.findings import (
    Finding,
    FindingCode,
    SeriesJudgement,
)
from veritag.records.conditions import awaits_verdict
from veritag.records.engine import Records, clean_text
from veritag.records.inspection.judgements import (
    open_contradictions,
    review_budget,
    store_judgements,
)
from veritag.records.inspection.series_snapshot import SeriesSnapshot, version_of
from veritag.records.schema import findings, instances, series
from veritag.records.states import SettleReason

_CONTRADICTION = FindingCode.TAG_CONTRADICTS_IMAGE


@dataclass(frozen=True, slots=True)
class DueSeries:
    """A series to settle, and why."""

    series_id: int
    reason: SettleReason


def due_series(
    records: Records, idle_seconds: float, cap_seconds: float, limit: int = 256
) -> list[DueSeries]:
    """Return the open series that are idle or have been open for too long.

    An idle series is due once all its instances have a verdict or a dead letter. One
    over the cap is due as it is, and opens again when more arrives.
    """
    now = datetime.now(UTC)
    cap = timedelta(seconds=cap_seconds)
    silent = or_(
        series.c.last_received_at <= now - timedelta(seconds=idle_seconds),
        # A wrong clock set this moment; do not wait until it has come.
        series.c.last_received_at > now + cap,
    )
    capped = series.c.opened_at <= now - cap
    of_series = instances.c.series_id == series.c.id
    still_waiting = exists().where(of_series, awaits_verdict())
    idle = and_(silent, ~still_waiting)
    any_verdict = exists().where(of_series, instances.c.inspected_at.is_not(None))
    with records.read() as connection:
        rows = connection.execute(
            select(series.c.id, idle)
            .where(
                series.c.settled_at.is_(None),
                any_verdict,
                or_(idle, capped),
            )
            .order_by(series.c.last_received_at)
            .limit(limit)
        )
        return [
            DueSeries(id_, SettleReason.IDLE if quiet else SettleReason.CAP)
            for id_, quiet in rows
        ]


def settle(
    records: Records,
    snapshot: SeriesSnapshot,
    judgement: SeriesJudgement,
    bundle_id: str,
    reason: SettleReason,
    *,
    budget_per_1000: float = 0,
    withdraw: bool = True,
) -> tuple[Finding, ...]:
    """Store the findings of a series; return those that are newly open.

    A finding that was made before keeps its id and its decisions; one that no longer
    holds is withdrawn. If something arrived since the snapshot, the series stays open
    and is judged again.

    Parameters
    ----------
    budget_per_1000
        Contradictions that may be opened per 1,000 series, 0 for all.
    withdraw
        Withdraw findings that were not made again. False where files of the series are
        gone from the archive, on which these findings may rest.
    """
    now = datetime.now(UTC)
    with records.begin() as connection:
        _wait_for_arrivals(connection, snapshot.series_id)
        withheld = _store_judgements(
            connection, records, snapshot, judgement, bundle_id, budget_per_1000
        )
        standing = _standing(connection, snapshot.series_id)
        opened = [
            finding
            for finding in _once(judgement.findings)
            if not (finding.code is _CONTRADICTION and finding.tag in withheld)
            and _store(connection, records, snapshot, finding, bundle_id, standing, now)
        ]
        if withdraw:
            left = list(chain.from_iterable(standing.values()))
            _withdraw(connection, left, now)
        if version_of(connection, snapshot.series_id) == snapshot.version:
            connection.execute(
                update(series)
                .where(series.c.id == snapshot.series_id)
                .values(settled_at=now, settle_reason=reason)
            )
    return tuple(opened)


def _wait_for_arrivals(connection: Connection, series_id: int) -> None:
    """Wait for transactions that add to the series, and make later ones wait.

    Otherwise an instance that is recorded but not committed would be missed: this
    transaction does not see it, and its own still sees the series as open.
    """
    # SQLite ignores FOR UPDATE: BEGIN IMMEDIATE has made this the only writer.
    connection.execute(
        select(series.c.id).where(series.c.id == series_id).with_for_update()
    )


def _store_judgements(
    connection: Connection,
    records: Records,
    snapshot: SeriesSnapshot,
    judgement: SeriesJudgement,
    bundle_id: str,
    budget_per_1000: float,
) -> set[str]:
    """Store the judgements; return the tags whose flag is not opened."""
    withheld: set[str] = set()
    if budget_per_1000:
        open_before = open_contradictions(connection, snapshot.series_id)
        flags = [
            j for j in judgement.judgements if j.flagged and j.tag not in open_before
        ]
        if flags:
            remaining = review_budget(
                connection, snapshot.series_id, bundle_id, budget_per_1000
            )
            withheld = remaining.withheld(flags)
    series_id, new = snapshot.series_id, judgement.judgements
    store_judgements(connection, records, series_id, bundle_id, new, withheld)
    return withheld


_Key: TypeAlias = tuple[str, str | None, str | None]
_Rows: TypeAlias = defaultdict[_Key, list[tuple[int, bool]]]


def _once(findings: Iterable[Finding]) -> Iterable[Finding]:
    """Return the first finding of each key."""
    by_key: dict[_Key, Finding] = {}
    for finding in findings:
        by_key.setdefault(_key(finding), finding)
    return by_key.values()


def _key(finding: Finding) -> _Key:
    """Return the key by which a finding of a series is the same when made again."""
    return finding.code, finding.tag, clean_text(finding.observed)


def _standing(connection: Connection, series_id: int) -> _Rows:
    """Return key to (id, not withdrawn) of the recorded findings, the one to keep first.

    Of several rows with one key, the decided one is kept, else the oldest.
    """
    rows = connection.execute(
        select(findings)
        .where(findings.c.series_id == series_id)
        .order_by(findings.c.decision.is_(None), findings.c.id)
    )
    standing: _Rows = defaultdict(list)
    for row in rows:
        key = row.code, row.tag, row.observed
        standing[key].append((row.id, row.withdrawn_at is None))
    return standing


def _store(
    connection: Connection,
    records: Records,
    snapshot: SeriesSnapshot,
    finding: Finding,
    bundle_id: str,
    standing: _Rows,
    now: datetime,
) -> bool:
    """Insert or update one finding and take it off `standing`; True when it is new."""
    key = _key(finding)
    values = {
        "bundle_id": bundle_id,
        "severity": finding.severity,
        "score": finding.score,
        "expected": [[e.value, e.probability] for e in finding.expected],
        "evidence": finding.evidence,
        "updated_at": now,
        "withdrawn_at": None,
    }
    if standing[key]:
        finding_id, stands = standing[key].pop(0)
        connection.execute(
            update(findings).where(findings.c.id == finding_id).values(values)
        )
        return not stands
    connection.execute(
        records.insert(findings).values(
            series_id=snapshot.series_id,
            code=key[0],
            tag=key[1],
            observed=key[2],
            created_at=now,
            **values,
        )
    )
    return True


def _withdraw(
    connection: Connection, left: Sequence[tuple[int, bool]], now: datetime
) -> None:
    ids = [finding_id for finding_id, open_ in left if open_]
    if ids:
        connection.execute(
            update(findings).where(findings.c.id.in_(ids)).values(withdrawn_at=now)
        )
