"""A site's own spellings of body parts, from the TOML file of a setting."""

import difflib
import tomllib
from pathlib import Path
from typing import Any

from veritag.errors import ConfigurationError
from veritag.terms.body_parts import PARTS
from veritag.terms.lexicon import BUILT_IN, Lexicon
from veritag.terms.spelling import squeeze


def read_site_spellings(file: Path | None) -> Lexicon:
    """Return the built-in spellings, overridden by the site's own.

    The file has lines such as `"BECKEN STEHEND" = "PELVIS"`. An empty term means that
    the spelling has no meaning at this site, even if it is a built-in one.

    Raises
    ------
    ConfigurationError
        With one line for each wrong entry.
    """
    if file is None:
        return BUILT_IN
    entries = _entries(file)
    faults = [fault for item in entries.items() if (fault := _fault(*item))]
    if faults:
        raise ConfigurationError(
            "\n".join(f"VERITAG_BODY_PARTS_FILE: {file}: {fault}" for fault in faults)
        )
    own = {squeeze(spelling): term or None for spelling, term in entries.items()}
    return Lexicon({**BUILT_IN.meanings, **own}, BUILT_IN.ambiguous - own.keys())


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
        return f"{spelling!r} has no letter or digit"
    if squeezed in PARTS and term != squeezed:
        return f"{spelling!r} is a defined term of DICOM and cannot mean another one"
    if not isinstance(term, str):
        return f'{spelling!r} needs a body part in quotes, such as "KNEE"'
    if term and term not in PARTS:
        close = difflib.get_close_matches(term.upper(), PARTS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"{term!r}, the term of {spelling!r}, is not a body part{hint}"
    return None
