"""`python -m services.indexer`: the command of the indexer alone."""

import typer

from services.indexer.commands import register


def _main() -> None:
    """Keep `index` a subcommand: an application of one command would not name it."""


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.callback()(_main)
    register(app)
    app()
