"""Which files may be read without a process of their own."""

from pathlib import Path

import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from tests import bombs
from veritag.dicom.inexpensive_files import MOST_BYTES, is_plain

DEFLATED = DeflatedExplicitVRLittleEndian


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("syntax", "plain"),
    [
        (ExplicitVRLittleEndian, True),
        (ImplicitVRLittleEndian, True),
        (ExplicitVRBigEndian, True),
        (DEFLATED, False),
        (JPEG2000Lossless, False),
        ("1.2.3", False),
    ],
)
def test_the_transfer_syntax_decides(tmp_path: Path, syntax: str, plain: bool) -> None:
    """What no decoder sees is plain."""
    path = _written(tmp_path / "x", bombs.header(syntax) + b"\x08\0\5\0CS\0\0")
    assert is_plain(path) is plain


def test_a_large_file_is_not_plain(tmp_path: Path) -> None:
    """Its elements alone may cost more than it says."""
    content = bombs.header() + bytes(MOST_BYTES)
    assert not is_plain(_written(tmp_path / "x", content))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        bombs.header()[132:] + bytes(9),  # no preamble
        bombs.header(),  # nothing shows that no other syntax follows
        # Twice, of which pydicom believes the last.
        bombs.header() + bombs.header(DEFLATED)[144:] + b"\x08\0\5\0CS\0\0",
        # Beyond what is looked at.
        bombs.header() + b"\2\0\2\1UN\0\0\0\x10\0\0" + bytes(4096),
        bombs.header()[:150],
        # An element whose length ends in the middle of the next one.
        bombs.header() + b"\2\0\2\1OB\0\0\xff\xff\xff\xff\x08\0",
    ],
)
def test_what_leaves_a_doubt_is_not_plain(tmp_path: Path, content: bytes) -> None:
    """Only File Meta Information that is all there, and names one syntax, convinces."""
    assert not is_plain(_written(tmp_path / "x", content))


def test_a_file_that_is_not_there_is_for_its_reader(tmp_path: Path) -> None:
    """Who reads it says why it cannot be read."""
    assert is_plain(tmp_path / "missing")
