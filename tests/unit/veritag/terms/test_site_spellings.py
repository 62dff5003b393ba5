"""Spellings of a site: read at start, used everywhere, rejected with a reason."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from veritag.errors import ConfigurationError
from veritag.settings import load_settings
from veritag.terms.concepts import normalize
from veritag.terms.lexicon import BUILT_IN, body_part_in_text, use_lexicon

TAG = "BodyPartExamined"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of the setting; the built-in spellings are restored afterwards."""
    path = tmp_path / "ours.toml"
    monkeypatch.setenv("VERITAG_BODY_PARTS_FILE", str(path))
    yield path
    use_lexicon(BUILT_IN)


def test_own_spellings_go_over_the_built_in_ones(file: Path) -> None:
    """A file adds a spelling and removes the meaning of a built-in one."""
    assert normalize(TAG, "BOB 7") is None
    assert normalize(TAG, "MAMA") == "BREAST"
    file.write_text('"BOB 7" = "KNEE"\nMAMA = ""\nbung = "ABDOMEN"\n')
    load_settings()
    assert normalize(TAG, "bob_7") == "KNEE"
    assert normalize(TAG, "MAMA") is None
    assert body_part_in_text("CT bụng") == "ABDOMEN"
    assert normalize(TAG, "THORAX") == "CHEST"


def test_without_the_setting_the_built_in_ones_are_in_use(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading settings without the file restores the built-in spellings."""
    file.write_text('"BOB 7" = "KNEE"\n')
    load_settings()
    monkeypatch.delenv("VERITAG_BODY_PARTS_FILE")
    load_settings()
    assert normalize(TAG, "BOB 7") is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            'BOB = "PELVIX"',
            "'PELVIX', the term of 'BOB', is not a body part; did you mean PELVIS",
        ),
        ('CHEST = "KNEE"', "'CHEST' is a defined term of DICOM"),
        ('CHEST = ""', "'CHEST' is a defined term of DICOM"),
        ('"..." = "KNEE"', "has no letter or digit"),
        ("BOB = 7", "'BOB' needs a body part in quotes"),
        ('BOB = ["KNEE"]', "'BOB' needs a body part in quotes"),
        ("BOB KNEE", "cannot be read as TOML"),
        (b"\xff\xfe", "cannot be read as TOML"),
        (None, "cannot be read as TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_entry_and_the_reason(
    text: str | bytes | None, why: str, file: Path
) -> None:
    """The error names the setting, the file and the entry to change."""
    if isinstance(text, bytes):
        file.write_bytes(text)
    elif text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationError, match="VERITAG_BODY_PARTS_FILE") as caught:
        load_settings()
    assert why in str(caught.value)
    assert str(file) in str(caught.value)


def test_all_wrong_entries_are_named_at_once(file: Path) -> None:
    """One start reports all wrong entries."""
    file.write_text('A1 = "KNEEE"\nB1 = "HEADD"\n')
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert "KNEE?" in str(caught.value)
    assert "HEAD?" in str(caught.value)
