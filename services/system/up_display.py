"""What `veritag up` shows while it starts, and the summary when it runs."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

READY = "ready"


class StartDisplay:
    """Live table of the processes that start; plain lines where there is no terminal."""

    def __init__(self, roles: Sequence[str], console: Console) -> None:
        self._states = dict.fromkeys(roles, "waiting")
        self._console = console
        self._live = Live(console=console, transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Clear what was shown."""
        if self._console.is_terminal:
            self._live.stop()

    def tell(self, role: str, reason: str | None) -> None:
        """Show a process as ready (None) or why it is not yet."""
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
    """Return where everything is, for people."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    where = f"{system['ae_title']} @ {system['dicom_host']}"
    if system["dicom_plain"]:
        table.add_row("DICOM", f"[bold]{where}:{system['dicom_port']}[/]")
    if system["dicom_tls_port"] is not None:
        table.add_row("DICOM TLS", f"[bold]{where}:{system['dicom_tls_port']}[/]")
    table.add_row("Review", f"[bold]{system['review_url']}[/]")
    for role, url in system["metrics"].items():
        moved = " (its default port is taken)" if role in system["moved"] else ""
        table.add_row(f"Metrics, {role}", f"{url}{moved}")
    table.add_row("Broker", system["broker"])
    table.add_row("Data and logs", system["data_dir"])
    return Panel(
        table, title="Veritag is running", subtitle="Ctrl-C stops it", expand=False
    )
