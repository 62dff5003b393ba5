"""The page of destinations: forwarded, waiting and parked instances, and commitments."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, ValidationError

from services.review.decision_request import InvalidDecision, Reviewer, problems
from services.review.dependencies import (
    CookieReviewer,
    Id,
    ProxyReviewer,
    RecordsDep,
    SettingsDep,
    remember_reviewer,
)
from services.review.templating import render
from veritag.peers.peer import Peer
from veritag.records import Records
from veritag.records.delivery.commitments import (
    CommitmentCounts,
    CommitmentRow,
    commitment_counts,
    recent_commitments,
)
from veritag.records.delivery.destinations import DestinationState, destination_states
from veritag.records.delivery.forwarding import (
    ParkedForward,
    parked_forwards,
    retry_parked,
)
from veritag.settings import Settings

PARKED, REQUESTS = 100, 50

pages = APIRouter(default_response_class=HTMLResponse)
api = APIRouter(prefix="/api/v1")

Limit = Annotated[int, Query(ge=1, le=1000)]


@dataclass(frozen=True, slots=True)
class DestinationAnswer:
    """A destination with its parked instances; `address` where the settings have one."""

    state: DestinationState
    address: str | None
    parked: tuple[ParkedForward, ...]


@dataclass(frozen=True, slots=True)
class CommitmentAnswer:
    """Number of requests of storage commitment, and the newest ones."""

    counts: CommitmentCounts
    newest: tuple[CommitmentRow, ...]


@dataclass(frozen=True, slots=True)
class Retried:
    """Number of instances that were queued again."""

    instances: int


class RetryRequest(BaseModel):
    """Name of the reviewer who retries; ignored where a proxy names one."""

    model_config = ConfigDict(extra="forbid")

    reviewer: Reviewer | None = None


class RetryForm(BaseModel):
    """A RetryRequest as the form sends it."""

    reviewer: str = ""


@pages.get("/destinations")
def show_destinations(
    records: RecordsDep,
    settings: SettingsDep,
    proxy_reviewer: ProxyReviewer,
    cookie_reviewer: CookieReviewer,
    retried: Annotated[int | None, Query(ge=1)] = None,
) -> HTMLResponse:
    """Show every destination, and the requests of storage commitment."""
    return render(
        "destinations.html",
        page="destinations",
        destinations=_views(records, settings, PARKED),
        commitments=_commitments(records, REQUESTS),
        retried=retried,
        proxy_reviewer=proxy_reviewer,
        reviewer=cookie_reviewer,
    )


@pages.post("/destinations/{destination_id}/retry")
def post_retry(
    request: Request,
    destination_id: Id,
    form: Annotated[RetryForm, Form()],
    records: RecordsDep,
    proxy_reviewer: ProxyReviewer,
) -> Response:
    """Queue the parked instances of a destination again, then show the page."""
    retry = _retry_request(form)
    count = _retry(records, destination_id, proxy_reviewer or retry.reviewer)
    answer = RedirectResponse(f"/destinations?retried={count}", 303)
    if not proxy_reviewer and retry.reviewer:
        remember_reviewer(request, answer, retry.reviewer)
    return answer


def _retry_request(form: RetryForm) -> RetryRequest:
    try:
        return RetryRequest(reviewer=form.reviewer.strip() or None)
    except ValidationError as error:
        raise InvalidDecision(
            "; ".join(f"{p['field']}: {p['message']}" for p in problems(error))
        ) from error


@api.get("/destinations")
def get_destinations(
    _reviewer: ProxyReviewer,
    records: RecordsDep,
    settings: SettingsDep,
    limit: Limit = PARKED,
) -> list[DestinationAnswer]:
    """Return every destination with its newest parked instances."""
    return _views(records, settings, limit)


@api.post("/destinations/{destination_id}/retry")
def api_retry(
    destination_id: Id,
    request: RetryRequest,
    records: RecordsDep,
    proxy_reviewer: ProxyReviewer,
) -> Retried:
    """Queue the parked instances of a destination again."""
    return Retried(_retry(records, destination_id, proxy_reviewer or request.reviewer))


@api.get("/commitments")
def get_commitments(
    _reviewer: ProxyReviewer, records: RecordsDep, limit: Limit = 100
) -> CommitmentAnswer:
    """Return the requests of storage commitment, newest first."""
    return _commitments(records, limit)


def _retry(records: Records, destination_id: int, reviewer: str | None) -> int:
    if reviewer is None:
        raise InvalidDecision("reviewer: enter your name")
    return retry_parked(records, destination_id, reviewer)


def _views(records: Records, settings: Settings, limit: int) -> list[DestinationAnswer]:
    peers = {peer.name: peer for peer in settings.peers if peer.forward}
    return [
        DestinationAnswer(
            state,
            _address(peers.get(state.name)),
            tuple(parked_forwards(records, state.destination_id, limit)),
        )
        for state in sorted(destination_states(records), key=lambda s: not s.active)
    ]


def _address(peer: Peer | None) -> str | None:
    return f"{peer.ae_title} at {peer.host}:{peer.port}" if peer else None


def _commitments(records: Records, limit: int) -> CommitmentAnswer:
    newest = tuple(recent_commitments(records, limit))
    return CommitmentAnswer(commitment_counts(records), newest)
