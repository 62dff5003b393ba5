"""Judgements of every tag of a series, and the budget of flags that are opened."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, delete, func, select

from veritag.findings import FindingCode, Judgement
from veritag.records.engine import Records, clean_text
from veritag.records.schema import findings, judgements, series

WINDOW = 1000
"""Number of last settled series over which the budget holds."""

_Rank: TypeAlias = tuple[float, float]
_KEY = ("series_id", "tag")


@dataclass(frozen=True, slots=True)
class ReviewBudget:
    """Number of flags that may still be opened, and how sure they must be.

    Attributes
    ----------
    left
        Flags that may still be opened.
    least
        Least probability of being wrong, then least score, of a flag to be opened.
    """

    left: int
    least: _Rank = (0.0, 0.0)

    def withheld(self, flags: Iterable[Judgement]) -> set[str]:
        """Return the tags whose flags are not opened; the best flags are opened first."""
        ranked = sorted(flags, key=_rank, reverse=True)
        eligible = [j.tag for j in ranked if _rank(j) >= self.least]
        return {j.tag for j in ranked} - set(eligible[: self.left])


def review_budget(
    connection: Connection, series_id: int, bundle_id: str, per_1000: float
) -> ReviewBudget:
    """Return the budget of a series that is being settled.

    The flags of the last settled series are ranked; a new flag has to be as good as the
    weakest one within the budget. Every opened flag counts, whatever its rank, so that
    the budget is never exceeded.
    """
    recent = (
        select(series.c.id)
        .where(series.c.settled_at.is_not(None), series.c.id != series_id)
        .order_by(series.c.settled_at.desc())
        .limit(WINDOW - 1)
        .subquery()
    )
    of_recent = judgements.c.series_id.in_(select(recent.c.id))
    flags = connection.execute(
        select(judgements).where(of_recent, judgements.c.flagged)
    ).all()
    settled = connection.scalar(select(func.count()).select_from(recent)) or 0
    # At least one: else the first series of an installation could never be flagged.
    allowed = max(1, int(per_1000 * (settled + 1) / WINDOW))
    opened = sum(not flag.withheld for flag in flags)
    best = sorted(
        (_rank(flag) for flag in flags if flag.bundle_id == bundle_id), reverse=True
    )
    least = best[allowed - 1] if len(best) >= allowed else (0.0, 0.0)
    return ReviewBudget(max(0, allowed - opened), least)


def _rank(flag: Judgement | Row[Any]) -> _Rank:
    return flag.probability_wrong or 0.0, flag.score or 0.0


def open_contradictions(connection: Connection, series_id: int) -> set[str]:
    """Return the tags of a series with an open contradiction, which stays open."""
    rows = connection.scalars(
        select(findings.c.tag).where(
            findings.c.series_id == series_id,
            findings.c.code == FindingCode.TAG_CONTRADICTS_IMAGE,
            findings.c.withdrawn_at.is_(None),
        )
    )
    return {tag for tag in rows if tag}


def store_judgements(
    connection: Connection,
    records: Records,
    series_id: int,
    bundle_id: str,
    new: Sequence[Judgement],
    withheld: set[str],
) -> None:
    """Replace the judgements of a series."""
    of_series = judgements.c.series_id == series_id
    outdated = judgements.c.tag.not_in([j.tag for j in new])
    connection.execute(delete(judgements).where(of_series, outdated))
    rows = [
        {
            "series_id": series_id,
            "bundle_id": bundle_id,
            "tag": j.tag,
            "observed": clean_text(j.observed),
            "shows": j.shows,
            "probability_wrong": j.probability_wrong,
            "score": j.score,
            "flagged": j.flagged,
            "withheld": j.tag in withheld,
        }
        for j in new
    ]
    if rows:
        insert = records.insert(judgements)
        changes = {c: insert.excluded[c] for c in rows[0] if c not in _KEY}
        connection.execute(
            insert.on_conflict_do_update(index_elements=_KEY, set_=changes), rows
        )
