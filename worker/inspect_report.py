"""The table that `veritag inspect` prints."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape as without_markup
from rich.table import Table

from veritag.dicom.printable import escape_unprintable
from veritag.findings import Finding, SeriesJudgement, Severity, Verdict
from veritag.judging.observed_tags import observe

_STYLES = {
    Severity.ERROR: "bold red",
    Severity.WARNING: "yellow",
    Severity.INFO: "cyan",
}
_UNREADABLE_SHOWN = 20
_WIDTH_OF_FILES = 140

Judged = tuple[str | None, Sequence[Verdict], SeriesJudgement]


def print_report(
    judged: Sequence[Judged],
    unreadable: Sequence[tuple[Path, str]],
    files: int,
    bundle_id: str,
) -> None:
    """Print a table of series with their findings, then the unreadable files."""
    console = Console()
    if not console.is_terminal:
        # A file or a pipe has no width: lines are folded late, so that few are broken.
        console = Console(width=_WIDTH_OF_FILES)
    if judged:
        console.print(_table(judged))
    for path, reason in unreadable[:_UNREADABLE_SHOWN]:
        line = f"[red]unreadable[/] {_plain(str(path))}: {_plain(reason)}"
        console.print(line, soft_wrap=True, highlight=False)
    if len(unreadable) > _UNREADABLE_SHOWN:
        console.print(
            f"... and {len(unreadable) - _UNREADABLE_SHOWN} more unreadable files"
        )
    flagged = sum(bool(judgement.findings) for _, _, judgement in judged)
    console.print(
        f"{files} files, {len(judged)} series, {flagged} with findings, "
        f"{len(unreadable)} unreadable; judged by {bundle_id}",
        highlight=False,
        soft_wrap=True,
    )


def _plain(text: str) -> str:
    """Return text from a file so that a terminal shows it and obeys none of it."""
    return without_markup(escape_unprintable(text))


def _table(judged: Sequence[Judged]) -> Table:
    table = Table(show_lines=True)
    table.add_column("Series", overflow="fold", ratio=2)
    table.add_column("Says", overflow="fold", ratio=1)
    table.add_column("Instances", justify="right")
    table.add_column("Findings", overflow="fold", ratio=4)
    for uid, verdicts, judgement in judged:
        table.add_row(
            _plain(uid or "no Series Instance UID"),
            _plain(_tags(verdicts)),
            str(judgement.instances),
            "\n".join(_sentence(f) for f in judgement.findings) or "[green]none[/]",
        )
    return table


def _tags(verdicts: Sequence[Verdict]) -> str:
    observed = observe(verdicts)
    texts = [
        observed[t].text for t in ("Modality", "BodyPartExamined") if t in observed
    ]
    return " ".join(texts) or "-"


def _sentence(finding: Finding) -> str:
    style = _STYLES[finding.severity]
    parts = [f"[{style}]{finding.severity.value}[/] {finding.code.value}"]
    if finding.tag:
        parts.append(finding.tag)
    if finding.observed is not None:
        parts.append(f"is {_plain(finding.observed)}")
    if finding.expected:
        expected = ", ".join(
            f"{_plain(e.value)} ({e.probability:.0%})" for e in finding.expected
        )
        parts.append(f"expected {expected}")
    reasons = finding.evidence.get("reasons", ())
    parts += [f"({r['instances']} x {_plain(r['reason'])})" for r in reasons]
    kinds = finding.evidence.get("kinds", ())
    parts += [f"({k['instances']} x {_plain(k['value'])})" for k in kinds]
    return " ".join(parts)
