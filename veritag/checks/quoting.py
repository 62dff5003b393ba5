"""How a check tells of a value without repeating what may identify a patient."""

import re
from collections.abc import Sequence

# PS3.5 6.2: a Code String; a person's name or a date has no such element to be in.
_CODES = re.compile(r"[A-Z0-9_ ]{1,16}(\\[A-Z0-9_ ]{0,16}){0,9}\Z")
_SHOWN = 24


def code(value: str) -> str:
    """Return a Code String as it is, anything else by its length."""
    return value if _CODES.match(value) else f"{len(value)} characters"


def form(value: str) -> str:
    """Return the form of a value: 9 for a digit, A for a letter, ? for a riddle."""
    return "".join(map(_kind, value[:_SHOWN])) + ("..." if len(value) > _SHOWN else "")


def _kind(character: str) -> str:
    if character.isdigit():
        return "9"
    if character.isalpha():
        return "A"
    return character if character in " .:-/+\\^" else "?"


def listed(first: str, others: Sequence[str]) -> str:
    """Return what is wrong with a first element, and the names of others."""
    return f"{first}; also {', '.join(others)}" if others else first
