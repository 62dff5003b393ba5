"""The page of a study, with the forms for decisions on its findings."""

from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ValidationError

from services.review.decision_request import (
    DecisionConflict,
    DecisionRequest,
    InvalidDecision,
    problems,
    store_decision,
)
from services.review.dependencies import (
    CookieReviewer,
    Id,
    ProxyReviewer,
    RecordsDep,
    SettingsDep,
    StudyUid,
    remember_reviewer,
)
from services.review.pictures.exemplars import exemplars_address
from services.review.review_findings import next_open, review_order
from services.review.templating import render
from veritag.decisions import Decision
from veritag.records import Records
from veritag.records.review.station_groups import GroupKey, StationGroup, station_groups
from veritag.records.review.study import RecordedFinding, StudyDetail, study_detail
from veritag.records.review.worklist import worklist
from veritag.records.states import FindingState
from veritag.settings import Settings

pages = APIRouter(default_response_class=HTMLResponse)


class DecisionForm(BaseModel):
    """A decision as the form sends it: every field is present, perhaps empty."""

    decision: str = ""
    corrected_value: str = ""
    note: str = ""
    reviewer: str = ""
    version: str = ""

    def request(self) -> DecisionRequest:
        """Return the decision; raises ValidationError."""
        # The form always has the value filled in; it counts with CORRECTED only.
        value = self.corrected_value if self.decision == Decision.CORRECTED else ""
        return DecisionRequest.model_validate(
            {
                "decision": self.decision,
                "corrected_value": value.strip() or None,
                "note": self.note,
                "reviewer": self.reviewer.strip() or None,
                "version": self.version or None,
            }
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """Reason why a form was refused, with its contents; none by default."""

    finding_id: int | None = None
    message: str = ""
    form: DecisionForm = field(default_factory=DecisionForm)


@pages.get("/studies/{study_instance_uid}")
def show_study(
    study_instance_uid: StudyUid,
    records: RecordsDep,
    settings: SettingsDep,
    proxy_reviewer: ProxyReviewer,
    cookie_reviewer: CookieReviewer,
    decided: Annotated[int | None, Query()] = None,
) -> HTMLResponse:
    """Show a study with its series, pictures, findings and decisions."""
    study = _study(records, study_instance_uid)
    return _study_page(
        records, settings, study, proxy_reviewer, cookie_reviewer, decided=decided
    )


def _study(records: Records, study_instance_uid: str) -> StudyDetail:
    study = study_detail(records, study_instance_uid)
    if study is None:
        raise HTTPException(404, "There is no such study in the records.")
    return review_order(study)


def _findings(study: StudyDetail) -> list[RecordedFinding]:
    return [finding for series in study.series for finding in series.findings]


def _study_page(
    records: Records,
    settings: Settings,
    study: StudyDetail,
    proxy_reviewer: str | None,
    cookie_reviewer: str,
    *,
    decided: int | None = None,
    problem: Problem | None = None,
    status: int = 200,
) -> HTMLResponse:
    findings = _findings(study)
    open_count = sum(f.state is FindingState.OPEN for f in findings)
    return render(
        "study.html",
        status,
        page="study",
        study=study,
        findings=len(findings),
        exemplars={f.finding_id: exemplars_address(settings, f) for f in findings},
        groups=_groups(records, study),
        open_findings=open_count,
        next_study=None if open_count else _next_study(records),
        decided=next(
            (f for f in findings if f.finding_id == decided and f.current), None
        ),
        problem=problem or Problem(),
        proxy_reviewer=proxy_reviewer,
        reviewer=cookie_reviewer,
    )


def _groups(records: Records, study: StudyDetail) -> dict[int, StationGroup]:
    """Return finding id to station group, for the findings that belong to one."""
    by_key = {group.key: group for group in station_groups(records)}
    if not by_key:
        return {}
    keys = [
        (finding, GroupKey.of(finding, series.manufacturer, series.station_name))
        for series in study.series
        for finding in series.findings
    ]
    return {f.finding_id: by_key[key] for f, key in keys if key in by_key}


def _next_study(records: Records) -> str | None:
    rows = worklist(records, limit=1).rows
    return rows[0].study_instance_uid if rows else None


@pages.post("/studies/{study_instance_uid}/findings/{finding_id}/decisions")
def post_decision(
    request: Request,
    study_instance_uid: StudyUid,
    finding_id: Id,
    form: Annotated[DecisionForm, Form()],
    records: RecordsDep,
    settings: SettingsDep,
    proxy_reviewer: ProxyReviewer,
    cookie_reviewer: CookieReviewer,
) -> Response:
    """Store a decision, then show the next open finding of the study."""
    study = _study(records, study_instance_uid)
    finding = _finding(study, finding_id)
    try:
        decision = form.request()
        store_decision(records, finding, decision, proxy_reviewer or decision.reviewer)
    except (ValidationError, InvalidDecision, DecisionConflict) as error:
        problem = Problem(finding_id, _message(error), form)
        status = 409 if isinstance(error, DecisionConflict) else 422
        return _study_page(
            records,
            settings,
            study,
            proxy_reviewer,
            cookie_reviewer,
            problem=problem,
            status=status,
        )
    decided = _study(records, study_instance_uid)
    reviewer = None if proxy_reviewer else decision.reviewer
    return _next_finding(request, decided, finding_id, reviewer)


def _finding(study: StudyDetail, finding_id: int) -> RecordedFinding:
    for finding in _findings(study):
        if finding.finding_id == finding_id:
            return finding
    raise HTTPException(404, "This study has no such finding.")


def _message(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{p['field']}: {p['message']}" for p in problems(error))
    return str(error)


def _next_finding(
    request: Request, study: StudyDetail, decided: int, reviewer: str | None
) -> Response:
    following = next_open(_findings(study), decided)
    # The browser focuses the element of the fragment, so that Enter works from there.
    anchor = f"finding-{following.finding_id}" if following else "onward"
    uid = quote(study.study_instance_uid, safe="")
    # 303: a reload of that page does not send the decision again.
    answer = RedirectResponse(f"/studies/{uid}?decided={decided}#{anchor}", 303)
    if reviewer is not None:
        remember_reviewer(request, answer, reviewer)
    return answer
