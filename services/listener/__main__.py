"""`python -m services.listener`: the command of the listener alone."""

import typer

from services.listener.commands import register


def _main() -> None:
    """Keep `listen` a subcommand: an application of one command would not name it."""


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.callback()(_main)
    register(app)
    app()
