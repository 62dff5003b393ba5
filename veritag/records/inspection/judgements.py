"""What the model said of every tag, and the budget of what is opened of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, delete, func, select

from veritag.findings import FindingCode, Judgement
from veritag.records.engine import Records, clean_text
from veritag.records.schema import findings, judgements, series

WINDOW = 1000
"""Series settled last, over which the budget is kept."""

_Rank: TypeAlias = tuple[float, float]
_KEY = ("series_id", "tag")


@dataclass(frozen=True, slots=True)
class ReviewBudget:
    """How many more flags may be opened, and how sure they must be.

    Attributes
    ----------
    left
        Flags that may still be opened.
    least
        Probability of being wrong, then score, that a flag needs to be opened.
    """

    left: int
    least: _Rank = (0.0, 0.0)

    def withheld(self, flags: Iterable[Judgement]) -> set[str]:
        """Return the tags whose flags are not opened, the best ones being served first."""
        ranked = sorted(flags, key=_rank, reverse=True)
        worthy = [j.tag for j in ranked if _rank(j) >= self.least]
        return {j.tag for j in ranked} - set(worthy[: self.left])


def review_budget(
    connection: Connection, series_id: int, bundle_id: str, per_1000: float
) -> ReviewBudget:
    """Return what the budget allows to a series that is being settled.

    Of the series settled last, as many flags as the budget pays for are the best ones:
    the weakest of them is what a new flag has to reach. What was opened among them
    counts whatever it was worth, so that the budget is never exceeded.
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
    allowed = max(1, int(per_1000 * (settled + 1) / WINDOW))
    opened = sum(not flag.withheld for flag in flags)
    best = sorted(
        (_rank(flag) for flag in flags if flag.bundle_id == bundle_id), reverse=True
    )
    least = best[allowed - 1] if len(best) >= allowed else (0.0, 0.0)
    return ReviewBudget(max(0, allowed - opened), least)


def _rank(flag: Judgement | Row[Any]) -> _Rank:
    return flag.probability_wrong or 0.0, flag.score or 0.0


def tags_flagged_before(connection: Connection, series_id: int) -> set[str]:
    """Return the tags of a series whose contradiction stands: they stay open."""
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
    said: Sequence[Judgement],
    withheld: set[str],
) -> None:
    """Put what is said of a series in the place of what was said before."""
    of_series = judgements.c.series_id == series_id
    gone = judgements.c.tag.not_in([j.tag for j in said])
    connection.execute(delete(judgements).where(of_series, gone))
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
        for j in said
    ]
    if rows:
        insert = records.insert(judgements)
        new = {c: insert.excluded[c] for c in rows[0] if c not in _KEY}
        connection.execute(
            insert.on_conflict_do_update(index_elements=_KEY, set_=new), rows
        )
