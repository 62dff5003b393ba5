"""Output of `veritag up`: the state of each process at the start, and the summary."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

READY = "ready"


class StartDisplay:
    """Live table of the starting processes; plain lines without a terminal."""

    def __init__(self, roles: Sequence[str], console: Console) -> None:
        self._states = dict.fromkeys(roles, "waiting")
        self._console = console
        self._live = Live(console=console, transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        """Start the display."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the table."""
        if self._console.is_terminal:
            self._live.stop()

    def update(self, role: str, reason: str | None) -> None:
        """Show a process as ready (None), or the reason why it is not."""
        state = reason or READY
        if self._states[role] == state:
            return
        self._states[role] = state
        if self._console.is_terminal:
            self._live.update(self._table(), refresh=True)
        elif state == READY:
            self._console.print(f"{role} is ready", highlight=False)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for role, state in self._states.items():
            style = "green" if state == READY else "yellow"
            table.add_row(role, f"[{style}]{state}[/]")
        return table


def summary(system: Mapping[str, Any]) -> Panel:
    """Return addresses and paths of the running system as a panel."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    address = f"{system['ae_title']} @ {system['dicom_host']}"
    if system["dicom_plain"]:
        table.add_row("DICOM", f"[bold]{address}:{system['dicom_port']}[/]")
    if system["dicom_tls_port"] is not None:
        table.add_row("DICOM TLS", f"[bold]{address}:{system['dicom_tls_port']}[/]")
    table.add_row("Review", f"[bold]{system['review_url']}[/]")
    for role, url in system["metrics"].items():
        note = " (its default port is taken)" if role in system["moved"] else ""
        table.add_row(f"Metrics, {role}", f"{url}{note}")
    table.add_row("Broker", system["broker"])
    table.add_row("Data and logs", system["data_dir"])
    return Panel(
        table, title="Veritag is running", subtitle="Ctrl-C stops it", expand=False
    )
