"""The page of the worklist: studies with findings, and how to send the first one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from services.review.dependencies import (
    PageNumber,
    ProxyReviewer,
    RecordsDep,
    SettingsDep,
)
from services.review.finding_labels import LABELS
from services.review.templating import render
from veritag.findings import FindingCode, Severity
from veritag.process.metrics import MODALITIES
from veritag.records.review.station_groups import StationGroup
from veritag.records.review.worklist import worklist
from veritag.records.states import WorklistState
from veritag.records.status import system_counts
from veritag.settings import Settings

PAGE_SIZE = 50

pages = APIRouter(default_response_class=HTMLResponse)


@dataclass(frozen=True, slots=True)
class WorklistFilter:
    """The filter of the worklist; an empty text stands for any value."""

    state: WorklistState
    modality: str
    code: FindingCode | Literal[""]
    severity: Severity
    page: int

    @property
    def narrowed(self) -> bool:
        """Whether it differs from the default, open errors and warnings."""
        default = (WorklistState.OPEN, Severity.WARNING)
        return bool(
            self.modality or self.code or (self.state, self.severity) != default
        )

    @property
    def least(self) -> Severity:
        """The least severity shown; with a code, findings of every severity."""
        return Severity.INFO if self.code else self.severity

    @property
    def grouped(self) -> bool:
        """Whether repeated findings of a station are shown apart from the studies."""
        return self.state is WorklistState.OPEN and not self.modality

    def of(self, groups: Sequence[StationGroup]) -> list[StationGroup]:
        """Return the groups to show on this page: all on the first, then none."""
        if not self.grouped or self.page > 1:
            return []
        return [
            group
            for group in groups
            if group.worst.rank <= self.least.rank and self.code in ("", group.key.code)
        ]

    def link(self, page: int) -> str:
        """Return the address of another page of the same worklist."""
        parameters = {
            "state": self.state,
            "severity": self.severity,
            "modality": self.modality,
            "code": self.code,
        }
        given = {name: value for name, value in parameters.items() if value}
        return "/?" + urlencode(given | {"page": page})


@pages.get("/")
def show_worklist(
    _reviewer: ProxyReviewer,
    records: RecordsDep,
    settings: SettingsDep,
    state: WorklistState = WorklistState.OPEN,
    modality: Annotated[str, Query(max_length=16)] = "",
    code: FindingCode | Literal[""] = "",
    severity: Severity = Severity.WARNING,
    page: PageNumber = 1,
) -> HTMLResponse:
    """Show the studies with findings, the gravest first.

    Findings of severity INFO are left out by default: where the bundle does not know a
    kind of image, a day can bring hundreds of them.
    """
    selected = WorklistFilter(state, modality, code, severity, page)
    found = worklist(
        records,
        modality=modality or None,
        code=code or None,
        least=selected.least,
        state=state,
        grouped=selected.grouped,
        limit=PAGE_SIZE,
        offset=(page - 1) * PAGE_SIZE,
    )
    return render(
        "worklist.html",
        page="worklist",
        rows=found.rows,
        total=found.total,
        pages=-(-found.total // PAGE_SIZE),
        filter=selected,
        groups=selected.of(found.groups),
        modalities=sorted(MODALITIES),
        codes=LABELS,
        # Only for an empty page, which shows them: they read whole tables.
        counts=None if found.rows or found.groups else system_counts(records),
        destination=_destination(settings),
    )


def _destination(settings: Settings) -> dict[str, object]:
    """Return the address that scanners send to, and a DCMTK command that does."""
    title, port, tls = settings.ae_title, settings.dicom_port, ""
    if not settings.dicom_plain and settings.dicom_tls_port is not None:
        port, tls = settings.dicom_tls_port, "+tls KEY CERTIFICATE +cf CA "
    return {
        "ae_title": title,
        "port": port,
        "command": f'storescu -v {tls}-aec "{title}" +sd +r HOST {port} FOLDER',
        "settle_seconds": f"{settings.settle_idle_seconds:.0f}",
    }
