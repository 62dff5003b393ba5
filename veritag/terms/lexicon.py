"""Which body part a text means: a received value, or what somebody described."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from veritag.terms.anatomy import together
from veritag.terms.body_parts import PARTS
from veritag.terms.spelling import squeeze, variants, words

_NOISE = frozenset(
    """
    LEFT RIGHT LT RT L R LI RE LINKS RECHTS GAUCHE DROIT DROITE IZQ DER SIN DX BILATERAL
    BOTH BEIDE CT MR MRI MRT IRM RM TAC TC TDM XR CR US PET CTA MRA NM RX W WO WITH
    WITHOUT AND CONTRAST CON IV HR ROUTINE STANDARD NATIV ADULT CHILD PEDIATRIC PORTABLE
    AP PA LAT LATERAL OBLIQUE VIEW VIEWS JOINT UNILATERAL
    """.split()
)
"""Words around a body part that do not change which one is meant."""

_SAYS_NOTHING = frozenset(
    """
    HEADFIRST FEETFIRST FOOTFIRST HEADCOIL BODYCOIL KNEECOIL NECKCOIL SPINECOIL WRISTCOIL
    HEADNECKCOIL SHOULDERCOIL BREASTCOIL LUNGWINDOW BRAINWINDOW LIVERWINDOW LUNGKERNEL
    HANDINJECTION HANDHELD FREEHAND ARMSUP ARMSDOWN CARDIACGATED CARDIACGATING
    """.split()
)
"""Words in which a body part's name speaks of something else."""

_VERTEBRAE = re.compile(
    r"\b(C[1-7]|TH(?:1[0-2]|[1-9])|L[1-5])\s*[-/]\s*(?:TH|[CTDLS])?\d{1,2}\b"
)
_SPINE_OF = {"C": "CSPINE", "T": "TSPINE", "L": "LSPINE"}

_MOST_WORDS = 64
_LONGEST_NAME = 5
_LEAST_LETTERS = 3
_LEAST_JOINED = 5
_LEAST_BEHIND_SIDE = 4
"""Letters of a name that may stand behind an L or R without space: RHAND, not REYE."""


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Spellings of body parts.

    Attributes
    ----------
    meanings
        Squeezed spelling to term; None where a site says that it means nothing.
    alone
        Spellings that count only where they stand alone.
    """

    meanings: Mapping[str, str | None]
    alone: frozenset[str]

    def of_value(self, text: str) -> str | None:
        """Return the body part that a value of Body Part Examined means."""
        for variant in variants(text):
            whole = squeeze(variant)
            bare = "".join(w for w in words(variant) if _tells(w))
            for spelling in (whole, bare, bare.removesuffix("S")):
                if spelling in self.meanings:
                    return self.meanings[spelling]
        return self.of_description(text)

    def of_description(self, text: str) -> str | None:
        """Return the body part that free text speaks of, None where that is in doubt.

        Several make the region that holds them: CT THORAX/ABDOMEN is CHESTABDOMEN.
        """
        for variant in variants(text):
            said = words(variant)[:_MOST_WORDS]
            found = {*self._standing_alone(said), *self._named(said), *_levels(variant)}
            if found:
                return together(found)
        return None

    def _standing_alone(self, said: list[str]) -> Iterator[str]:
        name = "".join(said)
        term = self.meanings.get(name)
        if term and len(name) > _LEAST_LETTERS:
            yield term

    def _named(self, said: list[str]) -> Iterator[str]:
        start = 0
        while start < len(said):
            taken, term = self._longest_name(said, start)
            start += taken
            if term:
                yield term

    def _longest_name(self, said: list[str], start: int) -> tuple[int, str | None]:
        """Return how many words the longest name at a place takes, and its term."""
        for taken in range(min(_LONGEST_NAME, len(said) - start), 1, -1):
            name = "".join(said[start : start + taken])
            if name in _SAYS_NOTHING:
                return taken, None
            if len(name) >= _LEAST_JOINED and name not in self.alone:
                term = self.meanings.get(name)
                if term:
                    return taken, term
        return 1, self._of_word(said[start])

    def _of_word(self, word: str) -> str | None:
        if word in _SAYS_NOTHING:
            return None
        for spelling in (word, word.removesuffix("S")):
            if len(spelling) >= _LEAST_LETTERS and spelling in self.meanings:
                return None if spelling in self.alone else self.meanings[spelling]
        behind = word[1:] if word[:1] in ("L", "R") else ""
        sided = len(behind) >= _LEAST_BEHIND_SIDE and behind not in self.alone
        return self.meanings.get(behind) if sided else None


def _tells(word: str) -> bool:
    return word not in _NOISE and not word.isdigit()


def _levels(text: str) -> Iterator[str]:
    """Yield the part of the spine that vertebrae as in L3-S1 lie in."""
    for match in _VERTEBRAE.finditer(text.upper()):
        yield _SPINE_OF[match[1][0]]


def _built_in() -> Lexicon:
    spelt = {s: part.term for part in PARTS.values() for s in part.spellings}
    alone = frozenset().union(*(part.alone for part in PARTS.values()))
    return Lexicon(spelt | {term: term for term in PARTS}, alone)


BUILT_IN = _built_in()
"""The spellings of `body_parts.tsv`."""

_in_use = [BUILT_IN]


def lexicon() -> Lexicon:
    """Return the spellings in use."""
    return _in_use[0]


def use(spellings: Lexicon) -> None:
    """Put other spellings in use, for this process."""
    _in_use[0] = spellings


@lru_cache(maxsize=4096)
def _described(spellings: Lexicon, text: str) -> str | None:
    return spellings.of_description(text)


def described(text: str) -> str | None:
    """Return the body part that free text speaks of, see `Lexicon.of_description`."""
    return _described(lexicon(), text)
