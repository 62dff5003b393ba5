"""Spellings of body parts, and search for them in values and free text."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from veritag.terms.anatomy import combined_region
from veritag.terms.body_parts import PARTS
from veritag.terms.spelling import squeeze, variants, words

_FILLERS = frozenset(
    """
    LEFT RIGHT LT RT L R LI RE LINKS RECHTS GAUCHE DROIT DROITE IZQ DER SIN DX BILATERAL
    BOTH BEIDE CT MR MRI MRT IRM RM TAC TC TDM XR CR US PET CTA MRA NM RX W WO WITH
    WITHOUT AND CONTRAST CON IV HR ROUTINE STANDARD NATIV ADULT CHILD PEDIATRIC PORTABLE
    AP PA LAT LATERAL OBLIQUE VIEW VIEWS JOINT UNILATERAL
    """.split()
)
"""Words beside the name of a body part that do not change its meaning."""

_MISLEADING = frozenset(
    """
    HEADFIRST FEETFIRST FOOTFIRST HEADCOIL BODYCOIL KNEECOIL NECKCOIL SPINECOIL WRISTCOIL
    HEADNECKCOIL SHOULDERCOIL BREASTCOIL LUNGWINDOW BRAINWINDOW LIVERWINDOW LUNGKERNEL
    HANDINJECTION HANDHELD FREEHAND ARMSUP ARMSDOWN CARDIACGATED CARDIACGATING
    """.split()
)
"""Compounds that hold the name of a body part but do not name the part examined."""

_VERTEBRAE = re.compile(
    r"\b(C[1-7]|TH(?:1[0-2]|[1-9])|L[1-5])\s*[-/]\s*(?:TH|[CTDLS])?\d{1,2}\b"
)
_SPINE_OF = {"C": "CSPINE", "T": "TSPINE", "L": "LSPINE"}

_MAX_WORDS = 64
_MAX_NAME_WORDS = 5
_MIN_LETTERS = 3
_MIN_COMPOUND_LETTERS = 5
_MIN_AFTER_SIDE = 4
"""Letters of a name that may follow an L or R without a space: RHAND, not REYE."""


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Spellings of body parts.

    Attributes
    ----------
    meanings
        Spelling, normalized by `squeeze`, to term; None where the site's own file says
        that it has no meaning.
    ambiguous
        Spellings that count only as the whole value.
    """

    meanings: Mapping[str, str | None]
    ambiguous: frozenset[str]

    def of_value(self, text: str) -> str | None:
        """Return the body part that a value of Body Part Examined means."""
        for variant in variants(text):
            full = squeeze(variant)
            bare = "".join(w for w in words(variant) if _is_significant(w))
            # The last one is for a plural: KNEES.
            for spelling in (full, bare, bare.removesuffix("S")):
                if spelling in self.meanings:
                    return self.meanings[spelling]
        return self.of_description(text)

    def of_description(self, text: str) -> str | None:
        """Return the body part that free text names, None where that is in doubt.

        Several parts become the region that contains them: CT THORAX/ABDOMEN is
        CHESTABDOMEN.
        """
        for variant in variants(text):
            tokens = words(variant)[:_MAX_WORDS]
            terms = {*self._full_text(tokens), *self._names(tokens), *_levels(variant)}
            if terms:
                return combined_region(terms)
        return None

    def _full_text(self, tokens: list[str]) -> Iterator[str]:
        name = "".join(tokens)
        term = self.meanings.get(name)
        if term and len(name) > _MIN_LETTERS:
            yield term

    def _names(self, tokens: list[str]) -> Iterator[str]:
        start = 0
        while start < len(tokens):
            count, term = self._longest_name(tokens, start)
            start += count
            if term:
                yield term

    def _longest_name(self, tokens: list[str], start: int) -> tuple[int, str | None]:
        """Return the number of words of the longest name from `start`, and its term."""
        # Longest first: HEAD NECK COIL must not be read as HEAD, NECK and a rest.
        for count in range(min(_MAX_NAME_WORDS, len(tokens) - start), 1, -1):
            name = "".join(tokens[start : start + count])
            if name in _MISLEADING:
                return count, None
            if len(name) >= _MIN_COMPOUND_LETTERS and name not in self.ambiguous:
                term = self.meanings.get(name)
                if term:
                    return count, term
        return 1, self._of_word(tokens[start])

    def _of_word(self, word: str) -> str | None:
        if word in _MISLEADING:
            return None
        for spelling in (word, word.removesuffix("S")):
            if len(spelling) >= _MIN_LETTERS and spelling in self.meanings:
                return None if spelling in self.ambiguous else self.meanings[spelling]
        name = word[1:] if word[:1] in ("L", "R") else ""
        has_side = len(name) >= _MIN_AFTER_SIDE and name not in self.ambiguous
        return self.meanings.get(name) if has_side else None


def _is_significant(word: str) -> bool:
    return word not in _FILLERS and not word.isdigit()


def _levels(text: str) -> Iterator[str]:
    """Yield the part of the spine that a range of vertebrae (L3-S1) starts in."""
    for match in _VERTEBRAE.finditer(text.upper()):
        yield _SPINE_OF[match[1][0]]


def _built_in() -> Lexicon:
    meanings = {s: part.term for part in PARTS.values() for s in part.spellings}
    ambiguous = frozenset().union(*(part.ambiguous for part in PARTS.values()))
    return Lexicon(meanings | {term: term for term in PARTS}, ambiguous)


BUILT_IN = _built_in()
"""The spellings of `body_parts.tsv`."""

_in_use = [BUILT_IN]


def current_lexicon() -> Lexicon:
    """Return the spellings in use."""
    return _in_use[0]


def use_lexicon(spellings: Lexicon) -> None:
    """Set the spellings in use in this process."""
    _in_use[0] = spellings


@lru_cache(maxsize=4096)
def _described(spellings: Lexicon, text: str) -> str | None:
    return spellings.of_description(text)


def body_part_in_text(text: str) -> str | None:
    """Return the body part that free text names, see `Lexicon.of_description`."""
    return _described(current_lexicon(), text)
