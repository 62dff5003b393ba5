"""Normalization of text, so that spellings can be compared."""

import re
import unicodedata

_LETTERS = str.maketrans({"Ø": "O", "Œ": "OE", "Æ": "AE", "Ł": "L", "Đ": "D"})
"""Letters that Unicode does not decompose into a plain letter and an accent."""

_SPELT_OUT = str.maketrans({"Ä": "AE", "Ö": "OE", "Ü": "UE", "Ø": "OE", "Å": "AA"})

_INNER_CAPITAL = re.compile(r"(?<=[a-zß-ÿ])(?=[A-ZÀ-Þ])")
# Words of three letters or more, the digits before one, else letters with their digits.
_WORD = re.compile(r"[^\W\d_]{3,}|\d+(?=[^\W\d_]{3})|[^\W_]+")


def squeeze(text: str) -> str:
    """Return the letters and digits of a text, upper case and without accents."""
    upper = text.upper()
    if not upper.isascii():
        upper = unicodedata.normalize("NFKD", upper.translate(_LETTERS))
    return "".join(c for c in upper if c.isascii() and c.isalnum())


def words(text: str) -> list[str]:
    """Return the words and numbers of a text, each normalized by `squeeze`.

    A word ends before digits (`Thorax2`) and before an inner capital (`AbdomenRoutine`);
    short names such as T2 and L5 are not split.
    """
    matches = _WORD.findall(_INNER_CAPITAL.sub(" ", text))
    return [squeezed for word in matches if (squeezed := squeeze(word))]


def variants(text: str) -> tuple[str, ...]:
    """Return a text and, if it is not ASCII, the text with umlauts spelt out.

    SCHÄDEL is written SCHADEL on some keyboards and SCHAEDEL on others.
    """
    spelt_out = unicodedata.normalize("NFC", text.upper()).translate(_SPELT_OUT)
    return (text,) if text.isascii() else (text, spelt_out)
