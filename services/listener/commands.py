"""The command of the listener: `veritag listen`."""

from typing import Annotated

import typer

REQUIRES = ("pynetdicom",)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("listen")(listen)


def listen(
    indexer: Annotated[
        bool, typer.Option(help="Also run the indexer, as a child process.")
    ] = True,
    parent: Annotated[
        int | None,
        typer.Option(hidden=True, help="Process that started this one; end with it."),
    ] = None,
) -> None:
    """Receive instances over DICOM (C-ECHO, C-STORE) into the spool."""
    from veritag.process.memory import UNNEEDED_PACKAGES, skip_packages

    skip_packages(*UNNEEDED_PACKAGES)  # before anything below imports pydicom
    from services.listener.service import run_listener
    from veritag.settings import load_settings

    run_listener(load_settings(), with_indexer=indexer, parent=parent)
