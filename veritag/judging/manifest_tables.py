"""What judging looks up in a bundle's manifest, worked out once per manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from veritag.bundles.bundle import BundleManifest
from veritag.judging.tag_probabilities import Fit, Floats, ProfileTable, profile_table
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
"""Values that name hardly more than "some image": others are as fine as they need be."""

_MANIFESTS = 4


@dataclass(frozen=True, eq=False)
class ManifestTables:
    """A manifest with its tables.

    Attributes
    ----------
    columns
        Keyword to where the tag's concepts stand in a row of `tag_probability`.
    width
        Length of such a row; 0 for bundles whose model tells clusters only.
    profiles
        Keyword to values, profiles and which clusters know the tag.
    references
        Keyword to the place of each reference image's concept, -1 for none.
    judged
        (tag, concept, Modality) to whether the model speaks there.
    """

    manifest: BundleManifest
    columns: dict[str, slice]
    width: int
    profiles: dict[str, ProfileTable]
    references: dict[str, NDArray[np.intp]]
    judged: dict[tuple[str, str, str], bool]
    _ranges: dict[str, tuple[Floats, Floats]] = field(default_factory=dict)
    _met: dict[tuple[str, str], bool] = field(default_factory=dict)

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
        """Return how values of a tag are compared: by degree, or by yes and no.

        The thresholds of models that tell clusters only were chosen for the latter.
        """
        return partial(fit if tag in self.columns else compatible, tag)

    def speaks(self, tag: str, concept: str, modality: str | None) -> bool:
        """Tell whether the model has shown that it can judge a received value.

        Parameters
        ----------
        modality
            As received, as a concept: it is what is at hand for every series, and a
            false one that the picture contradicts is flagged by itself. What is
            received as Modality is judged under its own name. Where a value was never
            met on a Modality there was nothing to alarm falsely, and the tag as a whole
            has to have been shown.
        """
        if not self.judged:
            return True
        pictures = concept if tag == "Modality" else modality or ""
        return self.judged.get((tag, concept, pictures), True)

    def met(self, tag: str, concept: str) -> bool:
        """Tell whether the bundle learnt of anything that the tag could mean."""
        asked = (tag, concept)
        if asked not in self._met:
            coarse = COARSE.get(tag, frozenset())
            profiled = self.profiles[tag][0] if tag in self.profiles else ()
            self._met[asked] = any(
                compatible(tag, value, concept)
                for value in {*profiled, *self.manifest.concepts.get(tag, ())}
                if value == concept or value not in coarse
            )
        return self._met[asked]


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
def _tables(same: _ManifestKey) -> ManifestTables:
    manifest = same.manifest
    columns, width = {}, 0
    for tag, concepts in manifest.concepts.items():
        columns[tag] = slice(width, width + len(concepts))
        width += len(concepts)
    tags = {*manifest.calibration, *columns, *_profiled(manifest)}
    return ManifestTables(
        manifest,
        columns,
        width,
        {tag: profile_table(manifest.clusters, tag) for tag in tags},
        {t: np.array(of, dtype=np.intp) for t, of in manifest.references.items()},
        {(d.tag, d.concept, d.modality): d.judged for d in manifest.detectability},
    )


def _profiled(manifest: BundleManifest) -> set[str]:
    return {tag for cluster in manifest.clusters for tag in cluster.profiles}
