"""`python -m services.listener`: the command of the listener without those of other rooms."""

from services.listener.commands import register
from veritag.cli import run_room

if __name__ == "__main__":
    run_room(register)
