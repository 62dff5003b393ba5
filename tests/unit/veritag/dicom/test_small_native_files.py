"""Detection of files that are safe to read in any process."""

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
from veritag.dicom.small_native_files import MAX_BYTES, is_small_native

DEFLATED = DeflatedExplicitVRLittleEndian


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("syntax", "native"),
    [
        (ExplicitVRLittleEndian, True),
        (ImplicitVRLittleEndian, True),
        (ExplicitVRBigEndian, True),
        (DEFLATED, False),
        (JPEG2000Lossless, False),
        ("1.2.3", False),
    ],
)
def test_the_transfer_syntax_decides(tmp_path: Path, syntax: str, native: bool) -> None:
    """Only transfer syntaxes that need no decoder are native."""
    path = _written(tmp_path / "x", bombs.header(syntax) + b"\x08\0\5\0CS\0\0")
    assert is_small_native(path) is native


def test_a_large_file_is_not_small(tmp_path: Path) -> None:
    """A file above the limit is not accepted: its elements alone may be expensive."""
    content = bombs.header() + bytes(MAX_BYTES)
    assert not is_small_native(_written(tmp_path / "x", content))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        bombs.header()[132:] + bytes(9),  # no preamble
        bombs.header(),  # another transfer syntax could follow
        # Two transfer syntaxes, of which pydicom uses the last.
        bombs.header() + bombs.header(DEFLATED)[144:] + b"\x08\0\5\0CS\0\0",
        # File Meta Information longer than the head.
        bombs.header() + b"\2\0\2\1UN\0\0\0\x10\0\0" + bytes(4096),
        bombs.header()[:150],
        # An element whose length ends in the middle of the next one.
        bombs.header() + b"\2\0\2\1OB\0\0\xff\xff\xff\xff\x08\0",
    ],
)
def test_what_leaves_a_doubt_is_not_native(tmp_path: Path, content: bytes) -> None:
    """Only complete File Meta Information with one transfer syntax is accepted."""
    assert not is_small_native(_written(tmp_path / "x", content))


def test_a_file_that_is_not_there_is_for_its_reader(tmp_path: Path) -> None:
    """A missing file is accepted: its reader reports the reason."""
    assert is_small_native(tmp_path / "missing")
