"""Commands of the whole system: `up`, `demo`, `send`, `status` and `config`."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from veritag.errors import MissingPart

REQUIRES: tuple[str, ...] = ()

_DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="Data directory; default: veritag-data."
    ),
]


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    for command in (up, demo, send, status, config):
        app.command(command.__name__)(command)


def _use_data_dir(data: Path | None) -> None:
    """Take the settings, and the TOML file in it, from this directory."""
    if data is not None:
        os.environ["VERITAG_DATA_DIR"] = str(data)


def up(data: _DataDir = None) -> None:
    """Run the whole system on this machine until Ctrl-C."""
    from services.system.up import run
    from veritag.settings import load_settings

    _use_data_dir(data)
    run(load_settings())


def demo(
    leave: Annotated[
        bool,
        typer.Option(
            "--exit", help="Stop at the end; fail if a planted error was missed."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout.")
    ] = False,
) -> None:
    """Run the system in a temporary directory on studies with planted tag errors."""
    from services.system.demo import run_demo

    raise typer.Exit(run_demo(leave=leave, as_json=as_json))


def send(
    host: Annotated[str, typer.Argument(help="Host of the Storage SCP.")],
    port: Annotated[int, typer.Argument(min=1, max=65535, help="TCP port.")],
    paths: Annotated[list[Path], typer.Argument(exists=True, help="Files or folders.")],
    called_aet: Annotated[
        str, typer.Option("--called-aet", help="AE title that is called.")
    ] = "VERITAG",
    calling_aet: Annotated[
        str, typer.Option("--calling-aet", help="AE title that calls.")
    ] = "VERITAG-SEND",
    tls: Annotated[bool, typer.Option("--tls", help="Send by DICOM TLS.")] = False,
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            exists=True, help="PEM file of trusted authorities; default: the system's."
        ),
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(exists=True, help="PEM file of our certificate.")
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(exists=True, help="PEM file of its key, if not in the same file."),
    ] = None,
    tls_check_host_name: Annotated[
        bool, typer.Option(help="The receiver's certificate must name HOST.")
    ] = True,
) -> None:
    """Send DICOM files by C-STORE; the exit status is 1 if one was not stored."""
    if not find_spec("pynetdicom"):
        raise MissingPart(
            "veritag send needs pynetdicom: pip install 'veritag[listener]'"
        )
    from services.system.send_progress import send_with_progress
    from veritag.peers.association import Receiver
    from veritag.peers.tls import PeerTls, TlsIdentity

    if not tls and (tls_ca or tls_certificate or tls_key):
        raise typer.BadParameter("TLS files need --tls")
    identity = TlsIdentity(tls_certificate, tls_key) if tls_certificate else None
    peer_tls = PeerTls(tls_ca, identity, tls_check_host_name) if tls else None
    receiver = Receiver(host, port, called_aet, calling_aet, peer_tls)
    if not send_with_progress(receiver, paths):
        raise typer.Exit(1)


def status(
    data: _DataDir = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object.")
    ] = False,
) -> None:
    """Print the numbers of received, inspected and flagged objects."""
    from services.system.status import read_status, status_table
    from veritag.settings import load_settings

    _use_data_dir(data)
    status_now = read_status(load_settings())
    if as_json:
        typer.echo(json.dumps(status_now))
    else:
        from rich.console import Console

        Console().print(status_table(status_now))


def config(
    data: _DataDir = None,
    output: Annotated[
        str, typer.Option("--format", metavar="table|json|toml", help="Form of output.")
    ] = "table",
) -> None:
    """Print the effective settings and their sources, without secrets."""
    from services.system.effective_settings import (
        FORMATS,
        effective_settings,
        unknown_variables,
    )
    from veritag.settings import load_settings

    if output not in FORMATS:
        raise typer.BadParameter(f"one of {', '.join(FORMATS)}", param_hint="--format")
    _use_data_dir(data)
    FORMATS[output](effective_settings(load_settings()))
    for name, nearest in unknown_variables():
        hint = f"; did you mean {nearest}?" if nearest else ""
        print(f"warning: {name} is not a setting of Veritag{hint}", file=sys.stderr)  # noqa: T201
