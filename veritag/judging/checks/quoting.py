"""How a check tells of a value without repeating what may identify a patient."""

import re
from collections.abc import Sequence

_WORDS = frozenset(
    """
    ORIGINAL DERIVED MIXED PRIMARY SECONDARY AXIAL LOCALIZER OTHER NONE MPR
    LEFT RIGHT BOTH BILATERAL UNPAIRED UNKNOWN NO YES NA
    """.split()
)
"""What stands in coded attributes, rightly or by mistake, and is nobody's name."""

_LETTERS = re.compile(r"[A-Z]|[APRLHF]{2}|[HFLRAP]F(S|P|DR|DL)")
_AXES = ("LR", "AP", "HF")
_SHOWN = 24
_LONGEST = 64


def code(value: str) -> str:
    """Return a value that consists of known words as it is, any other by its form.

    Names are written into codes by mistake, too, and have the form of one.
    """
    words = re.split(r"[ \\]+", value) if len(value) <= _LONGEST else [value]
    known = all(not w or w.upper() in _WORDS or _LETTERS.fullmatch(w) for w in words)
    return value if known else form(value)


def directions(letters: Sequence[str]) -> str:
    """Return values of Patient Orientation as they are, or all of them by their form.

    PS3.3 C.7.6.1.1.1: at most one letter of each axis. Some names are such letters, too.
    """
    value = "\\".join(letters)
    return value if all(map(_is_direction, letters)) else form(value)


def _is_direction(letters: str) -> bool:
    named = [sum(letters.count(end) for end in axis) for axis in _AXES]
    return max(named) <= 1 and sum(named) == len(letters)


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
