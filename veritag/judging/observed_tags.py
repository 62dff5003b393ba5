"""The tags of a series: each judged tag, by majority of its instances."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from veritag.dicom.tags import JUDGED_TAGS
from veritag.findings import TagValue, Verdict
from veritag.terms.concepts import normalize


@dataclass(frozen=True, slots=True)
class ObservedTag:
    """One tag of a series.

    Attributes
    ----------
    value
        The value of most of the instances that carry the tag.
    concept
        The concept of the value; None where it has none.
    carriers, readable
        How many instances carry the tag, and how many could be read.
    concepts
        Concept to number of instances, the most frequent first; None for no concept.
    """

    tag: str
    value: TagValue
    concept: str | None
    carriers: int
    readable: int
    concepts: tuple[tuple[str | None, int], ...]

    @property
    def text(self) -> str:
        """The value as text for people."""
        return as_text(self.value)

    @property
    def carried(self) -> bool:
        """Whether at least half of the readable instances carry the tag."""
        return 2 * self.carriers >= self.readable


def as_text(value: TagValue) -> str:
    """Return a value as it is written in DICOM."""
    if isinstance(value, tuple):
        return "\\".join(f"{number:.6g}" for number in value)
    return value if isinstance(value, str) else f"{value:.10g}"


def observe(verdicts: Sequence[Verdict]) -> dict[str, ObservedTag]:
    """Return keyword to tag of those that any instance carries, in their usual order."""
    readable = sum(bool(v.tags) for v in verdicts)
    observed = {}
    for tag in JUDGED_TAGS:
        values = [v.tags[tag] for v in verdicts if tag in v.tags]
        if values:
            observed[tag] = _observe(tag, values, readable)
    return observed


def _observe(tag: str, values: Sequence[TagValue], readable: int) -> ObservedTag:
    # Counted before they are normalized: a series of thousands has few values.
    value_counts = Counter(values)
    concept_of = {value: normalize(tag, value) for value in value_counts}
    # Values of one concept are counted together: "Brain" and "BRAIN" outvote "CHEST".
    concept_counts: Counter[str | None] = Counter()
    for value, count in value_counts.items():
        concept_counts[concept_of[value]] += count
    concepts = concept_counts.most_common()
    concept = concepts[0][0]
    value = next(v for v, _ in value_counts.most_common() if concept_of[v] == concept)
    return ObservedTag(tag, value, concept, len(values), readable, tuple(concepts))
