"""The pages that list: worklist and dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from services.review.dependencies import (
    ProxyReviewer,
    RecordsDep,
    SettingsDep,
)
from services.review.finding_labels import LABELS
from services.review.templating import render
from veritag.findings import FindingCode, Severity
from veritag.process.metrics import MODALITIES
from veritag.records.inspection.dead_letters import dead_letters
from veritag.records.review.stations import StationGroup
from veritag.records.review.worklist import worklist
from veritag.records.status import counts
from veritag.settings import Settings

PAGE_SIZE = 50

State: TypeAlias = Literal["open", "decided", "all"]
Least: TypeAlias = Literal["ERROR", "WARNING", "INFO"]
PageNumber = Annotated[int, Query(ge=1, le=1_000_000)]

router = APIRouter(default_response_class=HTMLResponse)


@dataclass(frozen=True, slots=True)
class WorklistFilter:
    """What the worklist is narrowed to; empty text is any."""

    state: State
    modality: str
    code: str
    severity: Least
    page: int

    @property
    def narrowed(self) -> bool:
        """Whether anything but the open errors and warnings is asked for."""
        usual = self.state == "open" and self.severity == "WARNING"
        return bool(self.modality or self.code or not usual)

    @property
    def least(self) -> Severity:
        """Whoever asks for a code wants to see it, whatever its severity."""
        return Severity.INFO if self.code else Severity(self.severity)

    @property
    def grouped(self) -> bool:
        """Whether what stations do again and again is told apart from the studies."""
        return self.state == "open" and not self.modality

    def of(self, groups: Sequence[StationGroup]) -> list[StationGroup]:
        """Return the groups to show on this page: the first has them all."""
        if not self.grouped or self.page > 1:
            return []
        return [
            group
            for group in groups
            if group.worst.rank <= self.least.rank and self.code in ("", group.key.code)
        ]

    def link(self, page: int) -> str:
        """Return the address of another page of the same worklist."""
        asked = {
            "state": self.state,
            "severity": self.severity,
            "modality": self.modality,
            "code": self.code,
        }
        return "/?" + urlencode({k: v for k, v in asked.items() if v} | {"page": page})


@router.get("/")
def show_worklist(
    _reviewer: ProxyReviewer,
    records: RecordsDep,
    settings: SettingsDep,
    state: State = "open",
    modality: Annotated[str, Query(max_length=16)] = "",
    code: FindingCode | Literal[""] = "",
    severity: Least = "WARNING",
    page: PageNumber = 1,
) -> HTMLResponse:
    """Show the studies with findings, the gravest first.

    What is only information is left out unless it is asked for: of a kind of image
    that the bundle does not know there can be a whole day's worth.
    """
    asked = WorklistFilter(state, modality, code, severity, page)
    found = worklist(
        records,
        modality=modality or None,
        code=code or None,
        least=asked.least,
        state=state,
        grouped=asked.grouped,
        limit=PAGE_SIZE,
        offset=(page - 1) * PAGE_SIZE,
    )
    return render(
        "worklist.html",
        page="worklist",
        rows=found.rows,
        total=found.total,
        pages=-(-found.total // PAGE_SIZE),
        filter=asked,
        groups=asked.of(found.groups),
        modalities=sorted(MODALITIES),
        codes={c.value: text for c, text in LABELS.items()},
        counts=None if found.rows or found.groups else counts(records),
        destination=_destination(settings),
    )


def _destination(settings: Settings) -> dict[str, object]:
    """Return where scanners send to, and a DCMTK command that does."""
    title, port, tls = settings.ae_title, settings.dicom_port, ""
    if not settings.dicom_plain and settings.dicom_tls_port is not None:
        port, tls = settings.dicom_tls_port, "+tls KEY CERTIFICATE +cf CA "
    return {
        "ae_title": title,
        "port": port,
        "command": f'storescu -v {tls}-aec "{title}" +sd +r HOST {port} FOLDER',
        "settle_seconds": f"{settings.settle_idle_seconds:.0f}",
    }


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
