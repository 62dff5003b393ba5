"""Look-up tables of a bundle's manifest, made once per manifest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from veritag.bundles.manifest import BundleManifest
from veritag.judging.tag_probabilities import Fit, Floats
from veritag.terms.concepts import compatible, fit

COARSE: Mapping[str, frozenset[str]] = {
    "BodyPartExamined": frozenset(
        """
        EXTREMITY UPPERLIMB LOWERLIMB ARM LEG LEGS DIGIT SPINE BACK TRUNK UPPERTRUNK
        LOWERTRUNK
        """.split()
    ),
    "Modality": frozenset(("OT", "RG")),
}
"""Values that say hardly more than "some image"; other values are fine enough."""

_MANIFESTS = 4


def has_learnt(tag: str, value: str, concepts: Iterable[str]) -> bool:
    """Return whether a received value may mean one of the learnt concepts.

    Coarse concepts count for themselves only: they are compatible with everything.
    """
    coarse = COARSE.get(tag, frozenset())
    return any(
        compatible(tag, concept, value)
        for concept in concepts
        if concept == value or concept not in coarse
    )


@dataclass(frozen=True, eq=False)
class ManifestTables:
    """A manifest with its tables.

    Attributes
    ----------
    columns
        Keyword to the columns of the tag's concepts in a row of `tag_probability`.
    width
        Length of such a row.
    neighbor_concepts
        Keyword to the place of each neighbor image's concept, -1 for none.
    judged
        (tag, concept, Modality) to whether the value is judged there.
    """

    manifest: BundleManifest
    columns: dict[str, slice]
    width: int
    neighbor_concepts: dict[str, NDArray[np.intp]]
    judged: dict[tuple[str, str, str], bool]
    _ranges: dict[str, tuple[Floats, Floats]] = field(default_factory=dict)
    _learnt: dict[tuple[str, str], bool] = field(default_factory=dict)

    def values(self, tag: str) -> tuple[str, ...]:
        """Return the concepts that the columns of a tag stand for."""
        return self.manifest.concepts[tag]

    def ranges(self, tag: str) -> tuple[Floats, Floats]:
        """Return the low and high ends of a numeric tag, of shape (K,), NaN for none."""
        if tag not in self._ranges:
            ends = [c.ranges.get(tag, (np.nan, np.nan)) for c in self.manifest.clusters]
            table = np.array(ends, dtype=np.float64).reshape(len(ends), 2)
            self._ranges[tag] = table[:, 0], table[:, 1]
        return self._ranges[tag]

    def fit(self, tag: str) -> Fit:
        """Return the function that compares two values of a tag, by degree."""
        return partial(fit, tag)

    def may_judge(self, tag: str, concept: str, modality: str | None) -> bool:
        """Return whether the bundle may judge a received value.

        It may not where it has learnt nothing that the value could mean: the pictures
        of such a body part are unknown, and nothing shows that the value is wrong.

        Parameters
        ----------
        modality
            As received, as a concept, None for none.
        """
        key = (tag, concept)
        if key not in self._learnt:
            concepts = self.manifest.concepts.get(tag, ())
            self._learnt[key] = has_learnt(tag, concept, concepts)
        return self._learnt[key] and self._is_judged(tag, concept, modality)

    def _is_judged(self, tag: str, concept: str, modality: str | None) -> bool:
        # The Modality as received, which every series has; a wrong one gets a finding
        # of its own, and is itself looked up under its own name. A value without a row
        # was never right on that Modality, so no false alarms could be counted: the
        # threshold of the whole tag decides.
        pictures = concept if tag == "Modality" else modality or ""
        return self.judged.get((tag, concept, pictures), True)


@dataclass(frozen=True, slots=True, eq=False)
class _ManifestKey:
    """A manifest by identity: its dictionaries have no hash."""

    manifest: BundleManifest

    def __hash__(self) -> int:
        return id(self.manifest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ManifestKey) and other.manifest is self.manifest


def tables_of(manifest: BundleManifest) -> ManifestTables:
    """Return the tables of a manifest, the same ones for the same manifest."""
    return _tables(_ManifestKey(manifest))


@lru_cache(maxsize=_MANIFESTS)
def _tables(key: _ManifestKey) -> ManifestTables:
    manifest = key.manifest
    columns, width = {}, 0
    for tag, concepts in manifest.concepts.items():
        columns[tag] = slice(width, width + len(concepts))
        width += len(concepts)
    return ManifestTables(
        manifest,
        columns,
        width,
        {
            tag: np.array(places, dtype=np.intp)
            for tag, places in manifest.neighbor_concepts.items()
        },
        {(d.tag, d.concept, d.modality): d.judged for d in manifest.detectability},
    )
