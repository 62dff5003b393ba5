"""The body parts of `body_parts.tsv`: terms, codes, regions and spellings."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files

ANYWHERE = "*"
"""Region of concepts that can be anywhere in the body."""

SNOMED_RT_SCHEMES = frozenset({"SRT", "SNM3", "99SDM"})
"""Coding Scheme Designators of SNOMED RT (PS3.16 8.1)."""


@dataclass(frozen=True, slots=True)
class BodyPart:
    """One concept of Body Part Examined (0018,0015).

    Attributes
    ----------
    tables
        Tables of PS3.16 Annex L that define the term; empty for Veritag's own concepts.
    part_of
        Terms of the regions that directly contain it.
    codes, snomed_rt
        SNOMED CT and SNOMED RT codes that mean it, its own code first.
    spellings
        Other spellings in use, normalized by `squeeze`.
    ambiguous
        Spellings (or the term itself) with another meaning among other words; they
        count only as the whole value.
    """

    term: str
    tables: tuple[str, ...]
    meaning: str
    part_of: frozenset[str]
    codes: tuple[str, ...]
    snomed_rt: tuple[str, ...]
    spellings: frozenset[str]
    ambiguous: frozenset[str]

    @property
    def defined(self) -> bool:
        """Whether the standard defines the term."""
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
            frozenset(row["part of"].split()),
            tuple(f"{row['code']} {row['also']}".split()),
            tuple(row["SNOMED RT"].split()),
            frozenset(s.rstrip("?") for s in spellings),
            frozenset(s.rstrip("?") for s in spellings if s.endswith("?")),
        )


PARTS: Mapping[str, BodyPart] = {part.term: part for part in _read_table()}
"""Term to body part, in the order of the file: from head to foot."""

DEFINED = frozenset(term for term, part in PARTS.items() if part.defined)
"""The terms that PS3.16 Annex L defines."""


def _first_terms(codes: Iterable[tuple[str, str]]) -> dict[str, str]:
    # Annex L gives some codes two terms (heart, endo-cardiac): the first one counts.
    terms: dict[str, str] = {}
    for code, term in codes:
        terms.setdefault(code, term)
    return terms


def _ranked_codes(field: str) -> list[tuple[str, str]]:
    """Return (code, term): human before animal terms, own before further codes."""
    ranked = [
        ("L-1" not in part.tables, bool(rank), code, part.term)
        for part in PARTS.values()
        for rank, code in enumerate(getattr(part, field))
    ]
    return [(code, term) for *_, code, term in sorted(ranked, key=lambda r: r[:2])]


_SNOMED_CT = _first_terms(_ranked_codes("codes"))
_SNOMED_RT = _first_terms(_ranked_codes("snomed_rt"))


def body_part_of_code(scheme: str, code: str) -> str | None:
    """Return the body part that a code means, None for an unknown code.

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
