"""The body parts of `body_parts.tsv`: terms, codes, and which holds which."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files

ANYWHERE = "*"
"""Stands for the holder of what is found all over the body."""

SNOMED_RT_SCHEMES = frozenset({"SRT", "SNM3", "99SDM"})
"""Coding Scheme Designators of SNOMED RT (PS3.16 8.1)."""


@dataclass(frozen=True, slots=True)
class BodyPart:
    """One concept of Body Part Examined (0018,0015).

    Attributes
    ----------
    tables
        The tables of PS3.16 Annex L that have the term; none for a concept of our own.
    held_by
        The terms of the regions that it is part of.
    codes, snomed_rt
        SNOMED CT and SNOMED RT codes that mean it, its own first.
    spellings
        What else is written for it, squeezed.
    alone
        Those of them (or the term itself) that mean something else beside other words.
    """

    term: str
    tables: tuple[str, ...]
    meaning: str
    held_by: frozenset[str]
    codes: tuple[str, ...]
    snomed_rt: tuple[str, ...]
    spellings: frozenset[str]
    alone: frozenset[str]

    @property
    def defined(self) -> bool:
        """Whether the standard has the term."""
        return bool(self.tables)


def _read_table() -> Iterator[BodyPart]:
    text = files("veritag.terms").joinpath("body_parts.tsv").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for row in csv.DictReader(lines, delimiter="\t"):
        spellings = row["spellings"].split()
        yield BodyPart(
            row["term"],
            tuple(row["tables"].split()),
            row["meaning"],
            frozenset(row["held by"].split()),
            tuple(f"{row['code']} {row['also']}".split()),
            tuple(row["SNOMED RT"].split()),
            frozenset(s.rstrip("?") for s in spellings),
            frozenset(s.rstrip("?") for s in spellings if s.endswith("?")),
        )


PARTS: Mapping[str, BodyPart] = {part.term: part for part in _read_table()}
"""Term to body part, in the order of the file: from head to foot."""

DEFINED = frozenset(term for term, part in PARTS.items() if part.defined)
"""The terms that PS3.16 Annex L defines."""


def _meant_by(codes: Iterable[tuple[str, str]]) -> dict[str, str]:
    # Where Annex L gives one code two terms (heart, endo-cardiac), the first stands.
    meant: dict[str, str] = {}
    for code, term in codes:
        meant.setdefault(code, term)
    return meant


def _by_rank(kind: str) -> list[tuple[str, str]]:
    """Return (code, term): human terms before those of animals, own codes first."""
    ranked = [
        ("L-1" not in part.tables, bool(rank), code, part.term)
        for part in PARTS.values()
        for rank, code in enumerate(getattr(part, kind))
    ]
    return [(code, term) for *_, code, term in sorted(ranked, key=lambda r: r[:2])]


_SNOMED_CT = _meant_by(_by_rank("codes"))
_SNOMED_RT = _meant_by(_by_rank("snomed_rt"))


def of_code(scheme: str, code: str) -> str | None:
    """Return the body part that a code means, None for codes that we do not know.

    Parameters
    ----------
    scheme
        Coding Scheme Designator (0008,0102).
    code
        Code Value (0008,0100).
    """
    if scheme == "SCT":
        return _SNOMED_CT.get(code)
    return _SNOMED_RT.get(code) if scheme in SNOMED_RT_SCHEMES else None
