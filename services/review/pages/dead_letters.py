"""The page of dead letters: instances that got no verdict."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from services.review.dependencies import PageNumber, ProxyReviewer, RecordsDep
from services.review.templating import render
from veritag.records.inspection.dead_letters import dead_letters

PAGE_SIZE = 50

pages = APIRouter(default_response_class=HTMLResponse)


@pages.get("/dead-letters")
def show_dead_letters(
    _reviewer: ProxyReviewer, records: RecordsDep, page: PageNumber = 1
) -> HTMLResponse:
    """Show the instances that ended without a verdict, newest first."""
    # One more than is shown says whether there is another page.
    rows = dead_letters(records, PAGE_SIZE + 1, (page - 1) * PAGE_SIZE)
    return render(
        "dead_letters.html",
        page="dead-letters",
        rows=rows[:PAGE_SIZE],
        page_number=page,
        more=len(rows) > PAGE_SIZE,
    )
