"""The `veritag` command, with the sub-commands whose packages are installed."""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

import typer

from veritag import __version__
from veritag.errors import RetryableError, VeritagError

ENTRY_POINT_GROUP = "veritag.commands"
EXIT_TRY_AGAIN = 75  # sysexits EX_TEMPFAIL
EXIT_FAILED = 1


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"veritag {__version__}")
        raise typer.Exit


def _main(
    version: bool = typer.Option(
        False,
        "--version",
        callback=_show_version,
        is_eager=True,
        help="Print the version.",
    ),
) -> None:
    """Check DICOM metadata against the pixels it describes."""


def build_app() -> typer.Typer:
    """Return the application with the sub-commands whose packages are installed."""
    app = typer.Typer(
        name="veritag", no_args_is_help=True, pretty_exceptions_enable=False
    )
    app.callback()(_main)
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=_order):
        if find_spec(point.value) is None:
            continue
        module = import_module(point.value)
        if all(find_spec(name) for name in module.REQUIRES):
            module.register(app)
    return app


def _order(point: EntryPoint) -> tuple[bool, str]:
    return point.name != "system", point.name


def main() -> None:
    """Run the command; an error of Veritag ends it with a message and no traceback."""
    _run(build_app())


def run_room(register: Callable[[typer.Typer], None]) -> None:
    """Run the commands of one room like `main`, without loading the other rooms."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.callback()(_keep_names)
    register(app)
    _run(app)


def _keep_names() -> None:
    """Run commands by their names: Typer runs a single command without its name."""


def _run(app: typer.Typer) -> None:
    try:
        app()
    except RetryableError as error:
        _exit_with(error, EXIT_TRY_AGAIN)
    except VeritagError as error:
        _exit_with(error, EXIT_FAILED)


def _exit_with(error: VeritagError, status: int) -> None:
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(error, err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
