"""`python -m services.indexer`: the command of the indexer without those of other rooms."""

import typer

from services.indexer.commands import register


def _main() -> None:
    """Keep `index` a subcommand: Typer runs a single command without its name."""


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.callback()(_main)
    register(app)
    app()
