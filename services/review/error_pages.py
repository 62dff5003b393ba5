"""Errors as pages and as JSON, without patient data and without tracebacks."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from services.review.decision_request import DecisionConflict, InvalidDecision
from services.review.templating import render
from veritag.errors import RetryableError
from veritag.records.delivery.forwarding import NothingParked
from veritag.records.review.decisions import UnknownFinding

_HEADINGS = {
    401: "Not signed in",
    404: "Not found",
    405: "Not allowed",
    409: "Changed since you opened it",
    422: "Not valid",
    503: "Not available now",
}


def add_error_pages(app: FastAPI) -> None:
    """Register a handler for every error that becomes a page or JSON."""
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(InvalidDecision, _invalid_decision)
    app.add_exception_handler(DecisionConflict, _conflict)
    app.add_exception_handler(NothingParked, _conflict)
    app.add_exception_handler(UnknownFinding, _unknown)
    app.add_exception_handler(RetryableError, _unavailable)


def _answer(request: Request, status: int, message: str, **more: Any) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"detail": message, **more}, status)
    heading = _HEADINGS.get(status, "Request failed")
    return render("error.html", status, page="error", heading=heading, message=message)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for this class
    answer = _answer(request, error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for this class
    problems = [
        {
            # Without the first part, which says body, query or path.
            "field": ".".join(str(p) for p in e["loc"][1:]) or str(e["loc"][0]),
            "message": str(e["msg"]).removeprefix("Value error, "),
        }
        for e in error.errors()
    ]
    if problems and problems[0]["message"].startswith(
        "Input should be a valid dictionary"
    ):
        problems[0]["message"] = "must be a JSON object sent as application/json"
    message = "; ".join(f"{p['field']}: {p['message']}" for p in problems)
    return _answer(request, 422, message, problems=problems)


def _invalid_decision(request: Request, error: Exception) -> Response:
    return _answer(request, 422, str(error))


def _conflict(request: Request, error: Exception) -> Response:
    return _answer(request, 409, str(error))


def _unknown(request: Request, _error: Exception) -> Response:
    return _answer(request, 404, "there is no such finding")


def _unavailable(request: Request, _error: Exception) -> Response:
    answer = _answer(
        request, 503, "The records or the archive do not answer. Try again soon."
    )
    answer.headers["Retry-After"] = "5"
    return answer
