"""Further evidence on a tag: similar images, descriptions, other series of the study.

None of it changes a probability, which is calibrated for pictures only. It is listed in
the finding, and ranks findings that are otherwise equal.
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
"""The tags of each other series of the study, keyword to value."""

_OF_STUDY = frozenset(("BodyPartExamined",))
"""Tags of which the series of a study usually agree; PET and CT stand side by side."""

_SHOWN = 5


@dataclass(frozen=True)
class TagEvidence:
    """Sources beside the pictures on one tag of one series.

    Attributes
    ----------
    hints
        (keyword of the element, concept) to instances.
    study
        Concept to other series of the study.
    neighbors
        Concept to similar neighbor images, of all pictures together.
    """

    hints: Counter[tuple[str, str]]
    study: Counter[str]
    neighbors: Counter[str]

    def as_json(self) -> dict[str, Any]:
        """Return the evidence that is not empty, the most frequent first."""
        evidence = {
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
        return {name: items for name, items in evidence.items() if items}

    def support(self, fit: Fit, observed: str, expected: str) -> int:
        """Return how many sources agree with `expected`, less those with `observed`.

        Each hinting element is one source, and the other series together are one.
        """
        sources: dict[str, Counter[str]] = {"": self.study}
        for (source, value), count in self.hints.items():
            sources.setdefault(source, Counter())[value] += count
        return sum(_vote(fit, c, observed, expected) for c in sources.values() if c)


def _vote(fit: Fit, values: Counter[str], observed: str, expected: str) -> int:
    value = _ordered(values)[0][0]
    return int(fit(value, expected) == 1) - int(fit(value, observed) == 1)


def _ordered(counter: Counter[Any]) -> list[tuple[Any, int]]:
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]


def evidence_of(
    tables: ManifestTables, tag: str, verdicts: Sequence[Verdict], siblings: Siblings
) -> TagEvidence:
    """Return the further evidence on a tag of the series with these verdicts."""
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
    places = tables.neighbor_concepts.get(tag)
    nearest = np.array([n for v in verdicts for n in v.neighbors], dtype=np.intp)
    if places is None or len(nearest) == 0:
        return Counter()
    # A verdict that does not fit the manifest may number images that it does not have.
    nearest = nearest[(nearest >= 0) & (nearest < len(places))]
    distinct, counts = np.unique(places[nearest], return_counts=True)
    concepts = tables.manifest.concepts.get(tag, ())
    return Counter(
        {
            concepts[place]: count
            for place, count in zip(distinct.tolist(), counts.tolist(), strict=True)
            if 0 <= place < len(concepts)
        }
    )
