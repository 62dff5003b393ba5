"""The command of the indexer: `veritag index`."""

from typing import Annotated

import typer

REQUIRES = ()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("index")(index)


def index(
    parent: Annotated[
        int | None,
        typer.Option(
            hidden=True, help="End when this process is no longer the parent."
        ),
    ] = None,
) -> None:
    """Move received instances into archive and records, and publish them for inspection."""
    from veritag.process.memory import UNNEEDED_PACKAGES, skip_packages

    skip_packages(*UNNEEDED_PACKAGES)  # before structlog is imported
    from services.indexer.service import run_indexer
    from veritag.settings import load_settings

    run_indexer(load_settings(), parent)
