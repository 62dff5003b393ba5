"""`veritag send` in a terminal: progress, and the files that were not stored."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from veritag.peers.association import Receiver
from veritag.peers.storage_scu import SendOutcome, find_files, send


def send_with_progress(receiver: Receiver, paths: Sequence[Path]) -> bool:
    """Send files and folders; return whether there were files and all were stored."""
    console = Console(stderr=True)
    files = find_files(paths)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        task = progress.add_task("sending", total=len(files))

        def show(outcome: SendOutcome) -> None:
            progress.advance(task)
            if outcome.reason is not None:
                progress.console.print(
                    f"[red]not stored[/] {escape(str(outcome.path))}: {escape(outcome.reason)}",
                    highlight=False,
                    soft_wrap=True,
                )

        outcomes = send(receiver, files, show)
    stored = sum(o.stored for o in outcomes)
    console.print(f"{stored} of {len(outcomes)} files stored", highlight=False)
    _count_reasons(outcomes, console)
    return bool(outcomes) and stored == len(outcomes)


def _count_reasons(outcomes: Sequence[SendOutcome], console: Console) -> None:
    counts = Counter(o.reason for o in outcomes if o.reason is not None)
    for reason, count in counts.most_common():
        console.print(f"{count:6d}  {escape(reason)}", highlight=False, soft_wrap=True)
