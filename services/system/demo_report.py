"""The report of the demo: planted errors found and missed, and other flagged series."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Column, Table

from services.system.demo_studies import DemoStudies, PlantedError
from veritag.findings import Finding, FindingCode
from veritag.records import Records
from veritag.records.review.study import study_detail
from veritag.records.review.worklist import worklist
from veritag.records.states import WorklistState
from veritag.records.status import SystemCounts

_WRONG_VALUE_CODES = {
    FindingCode.TAG_CONTRADICTS_IMAGE,
    FindingCode.MODALITY_CONTRADICTS_SOP_CLASS,
}
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class FlaggedSeries:
    """A series with findings that are not withdrawn."""

    series_instance_uid: str
    description: str
    modality: str | None
    instances: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class DemoReport:
    """The result of the demo, as `--json` prints it.

    Attributes
    ----------
    sent, received
        Instances acknowledged by the listener, and recorded.
    refused
        Files that could not be sent or were not accepted.
    planted, found, missed
        Numbers of planted wrong values: all, found, missed.
    false_alarms
        Clean synthetic series with a finding of a wrong value.
    """

    sent: int
    received: int
    inspected: int
    dead_letters: int
    refused: int
    planted: int
    found: int
    missed: int
    false_alarms: int
    flagged_series: int
    series_settled: int
    review_url: str
    bundle_id: str | None
    seconds: float
    errors: tuple[dict[str, Any], ...]
    others: tuple[dict[str, Any], ...]

    @classmethod
    def of(
        cls,
        *,
        studies: DemoStudies,
        flagged: Sequence[FlaggedSeries],
        counts: SystemCounts,
        sent: int,
        refused: int,
        review_url: str,
        bundle_id: str | None,
    ) -> Self:
        """Compare the findings with the planted errors."""
        by_series = {f.series_instance_uid: f for f in flagged}
        errors = tuple(
            _error(planted, by_series.get(planted.series_instance_uid))
            for planted in studies.planted
        )
        known = {p.series_instance_uid for p in studies.planted}
        return cls(
            sent=sent,
            received=counts.received,
            inspected=counts.inspected,
            dead_letters=counts.dead_letters,
            refused=refused,
            planted=len(errors),
            found=sum(e["found"] for e in errors),
            missed=sum(not e["found"] for e in errors),
            false_alarms=sum(
                any(f.code in _WRONG_VALUE_CODES for f in by_series[uid].findings)
                for uid in studies.clean_series & by_series.keys()
            ),
            flagged_series=len(flagged),
            series_settled=counts.series_settled,
            review_url=review_url,
            bundle_id=bundle_id,
            seconds=0.0,
            errors=errors,
            others=tuple(
                _other(f, synthetic=f.series_instance_uid in studies.clean_series)
                for f in flagged
                if f.series_instance_uid not in known
            ),
        )

    @property
    def succeeded(self) -> bool:
        """Whether all planted errors were found and all sent instances were recorded."""
        return self.missed == 0 and self.received == self.sent


def flagged_series(records: Records) -> tuple[list[FlaggedSeries], str | None]:
    """Return all series with findings, and the bundle id of the findings."""
    flagged, bundle_id = [], None
    for row in worklist(records, state=WorklistState.ALL, limit=_PAGE).rows:
        study = study_detail(records, row.study_instance_uid)
        for series in study.series if study else ():
            current = [f for f in series.findings if f.withdrawn_at is None]
            bundle_id = current[0].bundle_id if current else bundle_id
            if current:
                flagged.append(
                    FlaggedSeries(
                        series.series_instance_uid,
                        series.series_description or row.study_description or "",
                        series.modality,
                        series.instances,
                        tuple(current),
                    )
                )
    return flagged, bundle_id


def _error(planted: PlantedError, flagged: FlaggedSeries | None) -> dict[str, Any]:
    matches = [
        f
        for f in (flagged.findings if flagged else ())
        if f.code in _WRONG_VALUE_CODES and f.tag == planted.keyword
    ]
    best = max(matches, key=lambda f: f.score, default=None)
    return {
        "kind": planted.kind,
        "tag": planted.keyword,
        "wrong": planted.wrong,
        "right": planted.right,
        "found": best is not None,
        "code": best.code.value if best else None,
        "score": round(best.score, 3) if best else None,
        "expected": [e.value for e in best.expected] if best else [],
        "series_instance_uid": planted.series_instance_uid,
    }


def _other(flagged: FlaggedSeries, *, synthetic: bool) -> dict[str, Any]:
    return {
        "series_instance_uid": flagged.series_instance_uid,
        "description": flagged.description,
        "modality": flagged.modality,
        "instances": flagged.instances,
        "synthetic": synthetic,
        "findings": [
            {"code": f.code.value, "tag": f.tag, "observed": f.observed}
            for f in flagged.findings
        ],
    }


def show_report(report: DemoReport) -> None:
    """Print the report as tables on stdout."""
    console = Console()
    console.print(_errors_table(report))
    known_kinds = [
        o for o in report.others if _codes(o) != {FindingCode.UNKNOWN_KIND.value}
    ]
    if known_kinds:
        console.print(_others_table(known_kinds))
    unknown_kinds = len(report.others) - len(known_kinds)
    console.print(
        Panel(
            "\n".join(_lines(report, unknown_kinds)), title="Veritag demo", expand=False
        )
    )


def _codes(other: dict[str, Any]) -> set[str]:
    return {f["code"] for f in other["findings"]}


def _errors_table(report: DemoReport) -> Table:
    """Return the planted errors, in a table that fits 80 columns."""
    table = Table(
        Column("images", no_wrap=True),
        Column("tag", no_wrap=True),
        "written",
        "correct",
        Column("result, score", no_wrap=True),
        "expected",
        title="Planted errors",
    )
    for e in report.errors:
        result = "[green]found[/]" if e["found"] else "[red]missed[/]"
        score = "" if e["score"] is None else f" {e['score']:.2f}"
        expected = "\n".join(e["expected"][:2])
        table.add_row(
            e["kind"], e["tag"], e["wrong"], e["right"], f"{result}{score}", expected
        )
    return table


def _others_table(others: Sequence[dict[str, Any]]) -> Table:
    table = Table("series", "modality", "instances", "findings", title="Also flagged")
    for other in others:
        findings = [
            f"{f['code']} {f['tag'] or ''} {f['observed'] or ''}".strip()
            for f in other["findings"]
        ]
        source = "synthetic, clean" if other["synthetic"] else "real"
        description = other["description"] or "no description"
        table.add_row(
            f"{escape(description)} ({source})",
            other["modality"],
            str(other["instances"]),
            escape("\n".join(findings)),
        )
    return table


def _lines(report: DemoReport, unknown_kinds: int) -> list[str]:
    return [
        (
            f"sent {report.sent}, recorded {report.received}, inspected {report.inspected}, "
            f"dead letters {report.dead_letters}, not accepted {report.refused}"
        ),
        (
            f"planted errors {report.planted}: found {report.found}, missed {report.missed}; "
            f"clean synthetic series with a false alarm: {report.false_alarms}"
        ),
        f"series of a kind the bundle does not know: {unknown_kinds}",
        (
            f"bundle {report.bundle_id}; the starter bundle was trained on real images "
            "and on phantoms of other synthetic patients"
        ),
        (
            f"after {report.seconds:.0f} s, flagged studies are at "
            f"[bold]{report.review_url}[/]"
        ),
    ]
