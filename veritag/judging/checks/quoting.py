"""Quotation of values in defects, without anything that may identify a patient."""

import re
from collections.abc import Sequence

_WORDS = frozenset(
    """
    ORIGINAL DERIVED MIXED PRIMARY SECONDARY AXIAL LOCALIZER OTHER NONE MPR
    LEFT RIGHT BOTH BILATERAL UNPAIRED UNKNOWN NO YES NA
    """.split()
)
"""Words that occur in coded attributes, correctly or not, and are not names."""

_LETTERS = re.compile(r"[A-Z]|[APRLHF]{2}|[HFLRAP]F(S|P|DR|DL)")
_AXES = ("LR", "AP", "HF")
_MAX_PATTERN = 24
_MAX_LENGTH = 64


def quote_code(value: str) -> str:
    """Return a value of known words unchanged, any other as its pattern.

    Some people enter names in coded attributes, so the form alone proves nothing.
    """
    words = re.split(r"[ \\]+", value) if len(value) <= _MAX_LENGTH else [value]
    known = all(not w or w.upper() in _WORDS or _LETTERS.fullmatch(w) for w in words)
    return value if known else pattern(value)


def quote_directions(letters: Sequence[str]) -> str:
    """Return valid values of Patient Orientation unchanged, others as their pattern.

    A valid value has at most one letter of each axis (PS3.3 C.7.6.1.1.1), which excludes
    most names of the same letters.
    """
    value = "\\".join(letters)
    return value if all(map(_is_direction, letters)) else pattern(value)


def _is_direction(letters: str) -> bool:
    counts = [sum(letters.count(end) for end in axis) for axis in _AXES]
    return max(counts) <= 1 and sum(counts) == len(letters)


def pattern(value: str) -> str:
    """Return the pattern of a value: 9 for a digit, A for a letter, ? for others."""
    ending = "..." if len(value) > _MAX_PATTERN else ""
    return "".join(map(_symbol, value[:_MAX_PATTERN])) + ending


def _symbol(character: str) -> str:
    if character.isdigit():
        return "9"
    if character.isalpha():
        return "A"
    return character if character in " .:-/+\\^" else "?"


def with_others(first: str, others: Sequence[str]) -> str:
    """Return the fault of a first element, and the names of other faulty elements."""
    return f"{first}; also {', '.join(others)}" if others else first
