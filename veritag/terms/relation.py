"""Relation between two concepts of one tag."""

from enum import StrEnum


class Relation(StrEnum):
    """Relation of a first value to a second one."""

    EQUAL = "EQUAL"
    BROADER = "BROADER"
    NARROWER = "NARROWER"
    OVERLAPS = "OVERLAPS"
    DISJOINT = "DISJOINT"

    @property
    def swapped(self) -> "Relation":
        """The relation of the second value to the first."""
        return _SWAPPED.get(self, self)


_SWAPPED = {
    Relation.BROADER: Relation.NARROWER,
    Relation.NARROWER: Relation.BROADER,
}
