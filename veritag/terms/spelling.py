"""Text as people write it, brought to a form in which spellings can be compared."""

import re
import unicodedata

_LETTERS = str.maketrans({"Ø": "O", "Œ": "OE", "Æ": "AE", "Ł": "L", "Đ": "D"})
"""Letters that Unicode does not take apart into a plain one and an accent."""

_SPELT_OUT = str.maketrans({"Ä": "AE", "Ö": "OE", "Ü": "UE", "Ø": "OE", "Å": "AA"})

_INNER_CAPITAL = re.compile(r"(?<=[a-zß-ÿ])(?=[A-ZÀ-Þ])")
_WORD = re.compile(r"[^\W\d_]{3,}|\d+(?=[^\W\d_]{3})|[^\W_]+")


def squeeze(text: str) -> str:
    """Return the letters and digits of a text, upper case and without accents."""
    upper = text.upper()
    if not upper.isascii():
        upper = unicodedata.normalize("NFKD", upper.translate(_LETTERS))
    return "".join(c for c in upper if c.isascii() and c.isalnum())


def words(text: str) -> list[str]:
    """Return the words and numbers of a text, squeezed.

    A word ends where it meets digits (`Thorax2`) or a capital inside (`AbdomenRoutine`);
    what is as short as T2 or L5 stays whole.
    """
    found = _WORD.findall(_INNER_CAPITAL.sub(" ", text))
    return [squeezed for word in found if (squeezed := squeeze(word))]


def variants(text: str) -> tuple[str, ...]:
    """Return a text and, where it has umlauts, the text with them spelt out.

    SCHÄDEL is SCHADEL to one keyboard and SCHAEDEL to the other.
    """
    spelt_out = unicodedata.normalize("NFC", text.upper()).translate(_SPELT_OUT)
    return (text,) if text.isascii() else (text, spelt_out)
