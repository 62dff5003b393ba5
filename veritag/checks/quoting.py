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

_LETTERS = re.compile(r"[A-Z]|[APRLHF]{2,3}|[HFLRAP]F(S|P|DR|DL)")
_SHOWN = 24
_LONGEST = 64


def code(value: str) -> str:
    """Return a value that consists of known words as it is, any other by its form.

    Names are written into codes by mistake, too, and have the form of one.
    """
    words = re.split(r"[ \\]+", value) if len(value) <= _LONGEST else [value]
    known = all(not w or w.upper() in _WORDS or _LETTERS.fullmatch(w) for w in words)
    return value if known else form(value)


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
