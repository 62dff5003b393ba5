"""The pages: worklist, study, dead letters."""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import ValidationError

from services.review import words
from services.review.deciding import (
    DecisionConflict,
    DecisionRequest,
    InvalidDecision,
    problems,
    store_decision,
)
from services.review.dependencies import (
    REVIEWER_COOKIE,
    CookieReviewer,
    Id,
    ProxyReviewer,
    RecordsDep,
    SettingsDep,
    StudyUid,
)
from services.review.templating import render
from services.review.views import FindingState, next_open, series_views
from veritag.findings import FindingCode
from veritag.metrics import MODALITIES
from veritag.records import Records
from veritag.records.status import counts
from veritag.records.worklist import (
    FindingRow,
    StudyDetail,
    dead_letters,
    study_detail,
    worklist,
)
from veritag.review import Decision
from veritag.settings import Settings

PAGE_SIZE = 50
YEAR_SECONDS = 365 * 86_400

State: TypeAlias = Literal["open", "decided", "all"]
PageNumber = Annotated[int, Query(ge=1, le=1_000_000)]

router = APIRouter(default_response_class=HTMLResponse)


@dataclass(frozen=True, slots=True)
class WorklistFilter:
    """What the worklist is narrowed to; empty text is any."""

    state: State
    modality: str
    code: str
    page: int

    @property
    def narrowed(self) -> bool:
        """Whether anything but all open findings is asked for."""
        return bool(self.modality or self.code or self.state != "open")

    def link(self, page: int) -> str:
        """Return the address of another page of the same worklist."""
        asked = {"state": self.state, "modality": self.modality, "code": self.code}
        return "/?" + urlencode({k: v for k, v in asked.items() if v} | {"page": page})


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a form was refused, with what was filled in; of no finding by default."""

    finding_id: int | None = None
    message: str = ""
    corrected_value: str = ""
    note: str = ""
    reviewer: str = ""


@router.get("/")
def show_worklist(
    _reviewer: ProxyReviewer,
    records: RecordsDep,
    settings: SettingsDep,
    state: State = "open",
    modality: Annotated[str, Query(max_length=16)] = "",
    code: FindingCode | Literal[""] = "",
    page: PageNumber = 1,
) -> HTMLResponse:
    """Show the studies with findings, the gravest first."""
    found = worklist(
        records,
        modality=modality or None,
        code=code or None,
        state=state,
        limit=PAGE_SIZE,
        offset=(page - 1) * PAGE_SIZE,
    )
    return render(
        "worklist.html",
        page="worklist",
        rows=found.rows,
        total=found.total,
        pages=-(-found.total // PAGE_SIZE),
        filter=WorklistFilter(state, modality, code, page),
        modalities=sorted(MODALITIES),
        codes={c.value: text for c, text in words.LABELS.items()},
        counts=None if found.rows else counts(records),
        destination=_destination(settings),
    )


def _destination(settings: Settings) -> dict[str, object]:
    """Return where scanners send to, and a DCMTK command that does."""
    title, port = settings.ae_title, settings.dicom_port
    return {
        "ae_title": title,
        "port": port,
        "command": f'storescu -v -aec "{title}" +sd +r HOST {port} FOLDER',
        "settle_seconds": f"{settings.settle_idle_seconds:.0f}",
    }


@router.get("/studies/{study_instance_uid}")
def show_study(
    study_instance_uid: StudyUid,
    records: RecordsDep,
    proxy_reviewer: ProxyReviewer,
    cookie_reviewer: CookieReviewer,
    decided: Annotated[int | None, Query()] = None,
) -> HTMLResponse:
    """Show a study with its series, pictures, findings and decisions."""
    study = _study(records, study_instance_uid)
    return _study_page(records, study, proxy_reviewer, cookie_reviewer, decided=decided)


def _study(records: Records, study_instance_uid: str) -> StudyDetail:
    study = study_detail(records, study_instance_uid)
    if study is None:
        raise HTTPException(404, "There is no such study in the records.")
    return study


def _study_page(
    records: Records,
    study: StudyDetail,
    proxy_reviewer: str | None,
    cookie_reviewer: str,
    *,
    decided: int | None = None,
    problem: Problem | None = None,
    status: int = 200,
) -> HTMLResponse:
    series = series_views(study)
    findings = [finding for entry in series for finding in entry.findings]
    waiting = sum(f.state is FindingState.OPEN for f in findings)
    return render(
        "study.html",
        status,
        page="study",
        study=study,
        series=series,
        findings=len(findings),
        open_findings=waiting,
        next_study=None if waiting else _next_study(records),
        decided=next(
            (f for f in findings if f.finding_id == decided and f.current), None
        ),
        problem=problem or Problem(),
        proxy_reviewer=proxy_reviewer,
        reviewer=cookie_reviewer,
    )


def _next_study(records: Records) -> str | None:
    rows = worklist(records, limit=1).rows
    return rows[0].study_instance_uid if rows else None


@router.post("/studies/{study_instance_uid}/findings/{finding_id}/decisions")
def post_decision(
    request: Request,
    study_instance_uid: StudyUid,
    finding_id: Id,
    records: RecordsDep,
    proxy_reviewer: ProxyReviewer,
    cookie_reviewer: CookieReviewer,
    decision: Annotated[str, Form()] = "",
    corrected_value: Annotated[str, Form()] = "",
    note: Annotated[str, Form()] = "",
    reviewer: Annotated[str, Form()] = "",
    version: Annotated[str, Form()] = "",
) -> Response:
    """Store a decision, then go on to the next open finding of the study."""
    study = _study(records, study_instance_uid)
    row = _finding(study, finding_id)
    # The value field is always filled in; it means something with CORRECTED only.
    value = corrected_value.strip() if decision == Decision.CORRECTED else None
    try:
        asked = DecisionRequest.model_validate(
            {
                "decision": decision,
                "corrected_value": value or None,
                "note": note,
                "reviewer": None if proxy_reviewer else reviewer or None,
                "version": version or None,
            }
        )
        store_decision(records, row, asked, proxy_reviewer or asked.reviewer)
    except (ValidationError, InvalidDecision, DecisionConflict) as error:
        problem = Problem(finding_id, _message(error), corrected_value, note, reviewer)
        status = 409 if isinstance(error, DecisionConflict) else 422
        return _study_page(
            records,
            study,
            proxy_reviewer,
            cookie_reviewer,
            problem=problem,
            status=status,
        )
    return _go_on(
        request, _study(records, study_instance_uid), finding_id, asked.reviewer
    )


def _finding(study: StudyDetail, finding_id: int) -> FindingRow:
    for series in study.series:
        for row in series.findings:
            if row.finding_id == finding_id:
                return row
    raise HTTPException(404, "This study has no such finding.")


def _message(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{p['field']}: {p['message']}" for p in problems(error))
    return str(error)


def _go_on(
    request: Request, study: StudyDetail, decided: int, reviewer: str | None
) -> Response:
    findings = [f for entry in series_views(study) for f in entry.findings]
    following = next_open(findings, decided)
    # A browser focuses what the fragment names, so that Enter goes on from there.
    anchor = f"finding-{following.finding_id}" if following else "onward"
    uid = quote(study.study_instance_uid, safe="")
    answer = RedirectResponse(f"/studies/{uid}?decided={decided}#{anchor}", 303)
    if reviewer is not None:
        answer.set_cookie(
            REVIEWER_COOKIE,
            quote(reviewer),
            max_age=YEAR_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
    return answer


@router.get("/dead-letters")
def show_dead_letters(
    _reviewer: ProxyReviewer, records: RecordsDep, page: PageNumber = 1
) -> HTMLResponse:
    """Show the instances that ended without a verdict, newest first."""
    rows = dead_letters(records, PAGE_SIZE + 1, (page - 1) * PAGE_SIZE)
    return render(
        "dead_letters.html",
        page="dead-letters",
        rows=rows[:PAGE_SIZE],
        page_number=page,
        more=len(rows) > PAGE_SIZE,
    )
