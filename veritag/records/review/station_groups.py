"""Station groups: findings of one station that probably have one cause.

A station is identified by Manufacturer and Station Name. Equal findings in most of the
comparable series of a station point to one cause, for example a wrong preset, and not to
single mistakes.
"""

import hashlib
import json
from dataclasses import astuple, dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, or_, select

from veritag.decisions import Decision
from veritag.findings import Finding, FindingCode, Severity
from veritag.records.engine import Records
from veritag.records.schema import findings, judgements, series, studies

LEAST_SERIES = 5
"""Least number of series with the open finding that make a group."""

LEAST_SHARE = 0.8
"""Least share of the comparable series that have the finding."""

MOST_GROUPS = 100

_BY_PICTURE = frozenset((FindingCode.TAG_CONTRADICTS_IMAGE, FindingCode.TAG_TOO_COARSE))


@dataclass(frozen=True, slots=True)
class GroupKey:
    """Common properties of the findings of a group.

    Attributes
    ----------
    expected
        The most probable value; None for a missing tag, where any value may be missing.
    """

    manufacturer: str | None
    station_name: str | None
    code: FindingCode
    tag: str | None
    observed: str | None
    expected: str | None

    @classmethod
    def of(
        cls, finding: Finding, manufacturer: str | None, station_name: str | None
    ) -> "GroupKey":
        """Return the key of a finding of a station."""
        missing = finding.code is FindingCode.TAG_MISSING
        best = finding.expected[0].value if finding.expected and not missing else None
        return cls(
            manufacturer,
            station_name,
            finding.code,
            finding.tag,
            finding.observed,
            best,
        )

    @property
    def group_id(self) -> str:
        """Identifier of the group in addresses."""
        return hashlib.sha256(json.dumps(astuple(self)).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class StationGroup:
    """A group of equal findings of one station.

    Attributes
    ----------
    open_series
        Number of series whose finding waits for a decision.
    worst
        Gravest severity of the open findings.
    flagged, total
        Number of series with the finding, without dismissed ones, and of comparable
        series of the station.
    """

    group_id: str
    key: GroupKey
    worst: Severity
    open_series: int
    flagged: int
    total: int


@dataclass(frozen=True, slots=True)
class GroupMember:
    """One open finding of a group."""

    finding_id: int
    study_instance_uid: str
    series_instance_uid: str
    patient_id: str | None
    study_date: str | None
    score: float


def station_groups(records: Records) -> tuple[StationGroup, ...]:
    """Return the station groups, the gravest first, then the largest."""
    with records.read() as connection:
        return groups_in(connection)


def groups_in(connection: Connection) -> tuple[StationGroup, ...]:
    """Return the station groups, within a transaction."""
    standing = _standing().subquery()
    key = [standing.c[field.name] for field in fields(GroupKey)]
    opened, flagged = func.sum(standing.c.waits), func.sum(standing.c.wrong)
    rows = connection.execute(
        select(opened, flagged, func.min(standing.c.rank), *key)
        .group_by(*key)
        .having(opened >= LEAST_SERIES)
        .order_by(opened.desc(), *key)
        .limit(MOST_GROUPS)
    ).all()
    groups = [
        StationGroup(group.group_id, group, list(Severity)[rank], n, wrong, total)
        for n, wrong, rank, *values in rows
        if (total := _comparable_series(connection, group := GroupKey(*values), wrong))
    ]
    return tuple(sorted(groups, key=lambda g: (g.worst.rank, -g.open_series)))


_EXPECTED = case(
    # Missing tags have one cause whatever their value would be.
    (findings.c.code == FindingCode.TAG_MISSING, None),
    else_=findings.c.expected[(0, 0)].as_string(),
)


SEVERITY_RANK = case(
    {severity: severity.rank for severity in Severity}, value=findings.c.severity
)


_WAITS = findings.c.decision.is_(None)
_DISMISSED = findings.c.decision == Decision.DISMISSED


def _standing() -> Select[Any]:
    """Select the findings that are not withdrawn, with the columns of GroupKey."""
    return (
        select(
            findings.c.series_id,
            series.c.manufacturer,
            series.c.station_name,
            findings.c.code,
            findings.c.tag,
            findings.c.observed,
            _EXPECTED.label("expected"),
            case((_WAITS, SEVERITY_RANK)).label("rank"),
            case((_WAITS, 1), else_=0).label("waits"),
            case((or_(_WAITS, ~_DISMISSED), 1), else_=0).label("wrong"),
        )
        .join(series, findings.c.series_id == series.c.id)
        .where(
            findings.c.withdrawn_at.is_(None),
            or_(series.c.manufacturer.is_not(None), series.c.station_name.is_not(None)),
        )
    )


def of_group(key: GroupKey) -> ColumnElement[bool]:
    """Return the SQL condition of a group on findings joined with their series."""
    return and_(
        _of_station(key),
        findings.c.code == key.code,
        _is(findings.c.tag, key.tag),
        _is(findings.c.observed, key.observed),
        _is(_EXPECTED, key.expected),
    )


def _of_station(key: GroupKey) -> ColumnElement[bool]:
    return and_(
        _is(series.c.station_name, key.station_name),
        _is(series.c.manufacturer, key.manufacturer),
    )


def _is(column: ColumnElement[Any], value: str | None) -> ColumnElement[bool]:
    """Return equality, also of NULL, that uses an index; IS NOT DISTINCT FROM does not."""
    return column.is_(None) if value is None else column == value


def _comparable_series(connection: Connection, key: GroupKey, flagged: int) -> int:
    """Return the number of the station's series that could have the finding.

    Against the picture: series whose pictures show the expected value. By rule: series
    with the same value. Missing tag: series that have it, too. 0 where they are too many
    for a group; the count stops there.
    """
    most = int(flagged / LEAST_SHARE)
    of_tag = (judgements.c.series_id == series.c.id) & (judgements.c.tag == key.tag)

    def count(*conditions: ColumnElement[bool]) -> int:
        query = select(series.c.id).where(_of_station(key), *conditions)
        stopped = query.limit(most + 1).subquery()
        return connection.scalar(select(func.count()).select_from(stopped)) or 0

    if key.code in _BY_PICTURE:
        total = count(of_tag, judgements.c.shows == key.expected)
    elif key.code == FindingCode.TAG_MISSING:
        total = flagged + count(of_tag)
    else:
        # Rules check more tags than are judged; for those all series count.
        total = count(of_tag, judgements.c.observed == key.observed) or count()
    return max(flagged, total) if total <= most else 0


def group_members(
    records: Records, key: GroupKey, limit: int = 200
) -> tuple[GroupMember, ...]:
    """Return the open findings of a group, the newest first."""
    query = (
        select(
            findings.c.id,
            studies.c.study_instance_uid,
            series.c.series_instance_uid,
            studies.c.patient_id,
            studies.c.study_date,
            findings.c.score,
        )
        .join(series, findings.c.series_id == series.c.id)
        .join(studies, series.c.study_id == studies.c.id)
        .where(
            findings.c.withdrawn_at.is_(None),
            findings.c.decision.is_(None),
            of_group(key),
        )
        .order_by(findings.c.id.desc())
        .limit(limit)
    )
    with records.read() as connection:
        return tuple(GroupMember(*row) for row in connection.execute(query))
