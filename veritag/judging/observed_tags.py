"""What a series says of itself: each judged tag, by majority of the instances."""

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
        What most of the instances that carry the tag say.
    concept
        Its meaning; None where it has none.
    carriers, readable
        How many instances carry the tag, of how many that could be read.
    concepts
        Meaning to number of instances, the most frequent first; None for no meaning.
    """

    tag: str
    value: TagValue
    concept: str | None
    carriers: int
    readable: int
    concepts: tuple[tuple[str | None, int], ...]

    @property
    def text(self) -> str:
        """The value as people read it."""
        return as_text(self.value)

    @property
    def carried(self) -> bool:
        """Whether at least half of the readable instances carry the tag."""
        return 2 * self.carriers >= self.readable


def as_text(value: TagValue) -> str:
    """Return a value as DICOM writes it."""
    if isinstance(value, tuple):
        return "\\".join(f"{number:.6g}" for number in value)
    return value if isinstance(value, str) else f"{value:.10g}"


def observe(verdicts: Sequence[Verdict]) -> dict[str, ObservedTag]:
    """Return the tags that any instance carries, in their usual order."""
    readable = sum(bool(v.tags) for v in verdicts)
    observed = {}
    for tag in JUDGED_TAGS:
        values = [v.tags[tag] for v in verdicts if tag in v.tags]
        if values:
            observed[tag] = _observe(tag, values, readable)
    return observed


def _observe(tag: str, values: Sequence[TagValue], readable: int) -> ObservedTag:
    # Counted before they are understood: a series of thousands has few values.
    counts = Counter(values)
    meanings = {value: normalize(tag, value) for value in counts}
    tally: Counter[str | None] = Counter()
    for value, count in counts.items():
        tally[meanings[value]] += count
    # Values of one meaning stand together: "Brain" and "BRAIN" outvote "CHEST".
    concepts = tally.most_common()
    concept = concepts[0][0]
    value = next(v for v, _ in counts.most_common() if meanings[v] == concept)
    return ObservedTag(tag, value, concept, len(values), readable, tuple(concepts))
