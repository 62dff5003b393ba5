"""The command of the delivery: `veritag deliver`."""

from typing import Annotated

import typer

REQUIRES = ("pynetdicom",)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("deliver")(deliver)


def deliver(
    forwarding: Annotated[
        bool,
        typer.Option(
            help="Also forward instances; of several hosts with the same records, one does."
        ),
    ] = True,
) -> None:
    """Forward received instances to other systems, and report storage commitment."""
    from veritag.process.memory import UNNEEDED_PACKAGES, skip_packages

    skip_packages(*UNNEEDED_PACKAGES)  # before anything below imports pydicom
    from services.delivery.service import run_delivery
    from veritag.settings import load_settings

    run_delivery(load_settings(), forwarding=forwarding)
