"""What else speaks of a tag: similar images, descriptions, other series of the study.

None of it changes a probability, which only the picture has been calibrated for. It is
told, and ranks findings that are otherwise equal.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from veritag.findings import TagValue, Verdict
from veritag.judging.manifest_tables import ManifestTables
from veritag.judging.tag_probabilities import Fit
from veritag.terms.concepts import normalize
from veritag.terms.sop_classes import MODALITIES_OF

Siblings: TypeAlias = Sequence[Mapping[str, TagValue]]
"""What each other series of the study carries, keyword to value."""

_OF_STUDY = frozenset(("BodyPartExamined",))
"""Tags of which the series of a study usually agree; PET and CT stand side by side."""

_SHOWN = 5


@dataclass(frozen=True)
class TagEvidence:
    """Who speaks of one tag of one series, each the most frequent first.

    Attributes
    ----------
    hints
        (keyword of the element, concept) to instances.
    study
        Concept to other series of the study.
    neighbors
        Concept to similar reference images, of all pictures together.
    """

    hints: Counter[tuple[str, str]]
    study: Counter[str]
    neighbors: Counter[str]

    def as_json(self) -> dict[str, Any]:
        """Return what there is, as evidence."""
        told = {
            "hints": [
                {"source": source, "value": value, "instances": count}
                for (source, value), count in _ordered(self.hints)
            ],
            "study": [
                {"value": value, "series": count}
                for value, count in _ordered(self.study)
            ],
            "neighbors": [
                {"value": value, "images": count}
                for value, count in _ordered(self.neighbors)
            ],
        }
        return {name: items for name, items in told.items() if items}

    def support(self, fit: Fit, observed: str, expected: str) -> int:
        """Return how many sources say what is expected, less those for the observed.

        Each element that hints, and the other series together, are a source each.
        """
        sources: dict[str, Counter[str]] = {"": self.study}
        for (source, value), count in self.hints.items():
            sources.setdefault(source, Counter())[value] += count
        return sum(_side(fit, c, observed, expected) for c in sources.values() if c)


def _side(fit: Fit, values: Counter[str], observed: str, expected: str) -> int:
    value = _ordered(values)[0][0]
    return int(fit(value, expected) == 1) - int(fit(value, observed) == 1)


def _ordered(counter: Counter[Any]) -> list[tuple[Any, int]]:
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]


def evidence_of(
    tables: ManifestTables, tag: str, verdicts: Sequence[Verdict], siblings: Siblings
) -> TagEvidence:
    """Return who else speaks of a tag of the series with these verdicts."""
    hints = Counter(
        hint for verdict in verdicts for hint in verdict.hints.get(tag, {}).items()
    )
    if tag == "Modality":
        hints.update(_sop_classes(verdicts))
    return TagEvidence(hints, _study(tag, siblings), _neighbors(tables, tag, verdicts))


def _sop_classes(verdicts: Sequence[Verdict]) -> Iterator[tuple[str, str]]:
    """Yield the Modality of each SOP Class that is for one only (PS3.4 B.5)."""
    for verdict in verdicts:
        allowed = MODALITIES_OF.get(verdict.sop_class_uid, frozenset())
        if len(allowed) == 1:
            yield "SOPClassUID", next(iter(allowed))


def _study(tag: str, siblings: Siblings) -> Counter[str]:
    if tag not in _OF_STUDY:
        return Counter()
    concepts = (normalize(tag, s[tag]) for s in siblings if tag in s)
    return Counter(concept for concept in concepts if concept)


def _neighbors(
    tables: ManifestTables, tag: str, verdicts: Sequence[Verdict]
) -> Counter[str]:
    places = tables.references.get(tag)
    nearest = np.array([n for v in verdicts for n in v.neighbors], dtype=np.intp)
    if places is None or len(nearest) == 0:
        return Counter()
    there = nearest[(nearest >= 0) & (nearest < len(places))]
    found, counts = np.unique(places[there], return_counts=True)
    concepts = tables.manifest.concepts.get(tag, ())
    return Counter(
        {
            concepts[place]: count
            for place, count in zip(found.tolist(), counts.tolist(), strict=True)
            if 0 <= place < len(concepts)
        }
    )
