"""The page of a station group: findings of one station with the same cause."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import HTMLResponse

from services.review.dependencies import ProxyReviewer, RecordsDep
from services.review.templating import render
from veritag.records import Records
from veritag.records.review.station_groups import (
    GroupMember,
    StationGroup,
    group_members,
    station_groups,
)

SHOWN = 200

pages = APIRouter(default_response_class=HTMLResponse)
api = APIRouter(prefix="/api/v1")

GroupId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]


@dataclass(frozen=True, slots=True)
class StationAnswer:
    """A group with its open findings, the newest first, 200 at most."""

    group: StationGroup
    findings: tuple[GroupMember, ...]


@pages.get("/stations/{group_id}")
def show_station(
    _reviewer: ProxyReviewer, records: RecordsDep, group_id: GroupId
) -> HTMLResponse:
    """Show the open findings of a station group."""
    group = _group(records, group_id)
    members = group_members(records, group.key, SHOWN)
    return render("station.html", page="station", group=group, members=members)


@api.get("/stations")
def get_stations(
    _reviewer: ProxyReviewer, records: RecordsDep
) -> tuple[StationGroup, ...]:
    """Return the station groups, the gravest first."""
    return station_groups(records)


@api.get("/stations/{group_id}")
def get_station(
    _reviewer: ProxyReviewer, records: RecordsDep, group_id: GroupId
) -> StationAnswer:
    """Return a station group with its open findings."""
    group = _group(records, group_id)
    return StationAnswer(group, group_members(records, group.key, SHOWN))


def _group(records: Records, group_id: str) -> StationGroup:
    for group in station_groups(records):
        if group.group_id == group_id:
            return group
    raise HTTPException(404, "This group has no open findings any more.")
