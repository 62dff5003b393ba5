"""`python -m services.listener`: the commands of reception alone."""

import typer

from services.listener.commands import register

if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    register(app)
    app()
