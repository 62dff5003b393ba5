"""`python -m services.indexer`: the command of the indexer without those of other rooms."""

from services.indexer.commands import register
from veritag.cli import run_room

if __name__ == "__main__":
    run_room(register)
