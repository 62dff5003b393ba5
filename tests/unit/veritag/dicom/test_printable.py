"""Text of unknown origin is printable, whatever it contains."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veritag.dicom.printable import escape_unprintable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PACS 1 café", "PACS 1 café"),
        ("A\nB", r"A\nB"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("é\u2028\x00\u202e", r"é\u2028\x00\u202e"),
    ],
)
def test_only_unprintable_characters_are_escaped(text: str, expected: str) -> None:
    """A line end, an escape sequence and a direction mark become escapes."""
    assert escape_unprintable(text) == expected


@given(st.text(st.characters(), max_size=64))
def test_any_text_becomes_one_short_line(text: str) -> None:
    """The result is printable, with 10 characters for each one at most."""
    escaped = escape_unprintable(text)
    assert escaped.isprintable()
    assert len(escaped) <= len(text) * len(r"\U0010ffff")
