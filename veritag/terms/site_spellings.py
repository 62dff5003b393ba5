"""A site's own spellings of body parts, from the TOML file that a setting names."""

import difflib
import tomllib
from pathlib import Path
from typing import Any

from veritag.errors import ConfigurationError
from veritag.terms.body_parts import PARTS
from veritag.terms.lexicon import BUILT_IN, Lexicon
from veritag.terms.spelling import squeeze


def read_site_spellings(file: Path | None) -> Lexicon:
    """Return the built-in spellings with a site's own on top.

    The file has lines such as `"BECKEN STEHEND" = "PELVIS"`. An empty term says that
    the spelling means nothing here, even where it is a built-in one.

    Raises
    ------
    ConfigurationError
        With one line per wrong entry, where the file is not as described.
    """
    if file is None:
        return BUILT_IN
    entries = _entries(file)
    wrong = [why for item in entries.items() if (why := _fault(*item))]
    if wrong:
        raise ConfigurationError(
            "\n".join(f"VERITAG_BODY_PARTS_FILE: {file}: {why}" for why in wrong)
        )
    own = {squeeze(spelling): term or None for spelling, term in entries.items()}
    return Lexicon({**BUILT_IN.meanings, **own}, BUILT_IN.alone - own.keys())


def _entries(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"VERITAG_BODY_PARTS_FILE: {file} cannot be read as TOML: {error}"
        ) from error


def _fault(spelling: str, term: object) -> str | None:
    squeezed = squeeze(spelling)
    if not squeezed:
        return f"{spelling!r} holds no letter or digit"
    if squeezed in PARTS and term != squeezed:
        return f"{spelling!r} is a term of DICOM and cannot stand for another one"
    if not isinstance(term, str):
        return f'{spelling!r} needs a body part in quotes, as in "KNEE"'
    if term and term not in PARTS:
        close = difflib.get_close_matches(term.upper(), PARTS, n=1)
        hint = f"; do you mean {close[0]}?" if close else ""
        return f"{term!r}, given for {spelling!r}, is no body part{hint}"
    return None
