"""Kinds of pictures within a series, and pictures that are set apart.

A scout in a stack and a screenshot are no evidence on the series' tags: they are set
apart. Where a fair share of the pictures is of another kind, the series is mixed.
n is the number of known pictures of a series, V that of a tag's concepts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from veritag.findings import Verdict
from veritag.judging.manifest_tables import ManifestTables
from veritag.judging.tag_probabilities import Floats
from veritag.judging.tag_scores import Mask
from veritag.terms.concepts import compatible

SURE = 0.9
"""Least probability with which a single picture counts as one of a kind."""

MIXED_SHARE = 0.2
"""Least share of the sure pictures that makes another kind a part of the series."""

MIXED_LEAST = 3
"""Least number of pictures that make another kind a part of the series."""

_LEAST_PICTURES = 3
"""Least number of pictures of a series of which any is set apart."""

_TAGS = ("Modality", "BodyPartExamined", "ImageOrientationPatient")
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True)
class PictureKind:
    """Pictures of one series whose concepts of one tag are compatible.

    Attributes
    ----------
    name
        The most frequent concept.
    members
        Which pictures are of the kind, of shape (n,).
    """

    name: str
    members: Mask

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return int(self.members.sum())


def kinds_of(
    tag: str, concepts: Sequence[str], probabilities: Floats
) -> list[PictureKind]:
    """Return the kinds among pictures (n, V) that are sure of a concept, largest first.

    Compatible concepts are of one kind, and so are those that a third one connects:
    NECK lies between HEAD and CHEST, so that a scan of all three is one kind.
    """
    top = probabilities.argmax(axis=1)
    sure = probabilities[np.arange(len(top)), top] >= SURE
    counts = Counter(top[sure].tolist())
    kinds = [
        PictureKind(concepts[group[0]], sure & np.isin(top, group))
        for group in _connected(tag, concepts, [c for c, _ in counts.most_common()])
    ]
    return sorted(kinds, key=lambda kind: -kind.count)


def _connected(
    tag: str, concepts: Sequence[str], places: Sequence[int]
) -> list[list[int]]:
    """Return the connected groups of places in `concepts`."""
    groups: list[list[int]] = []
    for place in places:
        connected = [
            group
            for group in groups
            if any(compatible(tag, concepts[place], concepts[p]) for p in group)
        ]
        others = [group for group in groups if group not in connected]
        groups = [*others, [p for group in connected for p in group] + [place]]
    return groups


def other_kinds(kinds: Sequence[PictureKind]) -> list[PictureKind]:
    """Return the kinds beside the main one that are a part of the series."""
    least = max(MIXED_LEAST, MIXED_SHARE * sum(kind.count for kind in kinds))
    return [kind for kind in kinds[1:] if kind.count >= least]


def set_apart(
    tables: ManifestTables, verdicts: Sequence[Verdict], rows: Floats
) -> Mask:
    """Return which pictures are left out of the series, of shape (n,); never half.

    Parameters
    ----------
    rows
        Their `tag_probability`, of shape (n, width).
    """
    if len(verdicts) < _LEAST_PICTURES:
        return np.zeros(len(verdicts), dtype=bool)
    masks = [
        _odd(tag, tables.values(tag), rows[:, tables.columns[tag]])
        for tag in _TAGS
        if tag in tables.columns
    ]
    masks += [_localizers(verdicts), _screenshots(verdicts)]
    apart: Mask = np.any([_fewer_than_half(mask) for mask in masks], axis=0)
    return _fewer_than_half(apart)


def _odd(tag: str, concepts: Sequence[str], probabilities: Floats) -> Mask:
    """Return the pictures of kinds too rare to be a part of the series, of shape (n,)."""
    kinds = kinds_of(tag, concepts, probabilities)
    none = np.zeros(len(probabilities), dtype=bool)
    if not kinds or 2 * kinds[0].count < len(probabilities):
        return none
    parts = other_kinds(kinds)
    odd: Mask = np.any([none, *(k.members for k in kinds[1:] if k not in parts)], 0)
    return odd


def _localizers(verdicts: Sequence[Verdict]) -> Mask:
    return np.array(
        [v.facts.get("ImageType") == "LOCALIZER" for v in verdicts], dtype=bool
    )


def _screenshots(verdicts: Sequence[Verdict]) -> Mask:
    # The dot at the end tells 1.1.7 from 1.1.77 (endoscopy) and 1.1.78 (the eye).
    root = f"{_SECONDARY_CAPTURE}."
    return np.array(
        [f"{v.sop_class_uid}.".startswith(root) for v in verdicts], dtype=bool
    )


def _fewer_than_half(mask: Mask) -> Mask:
    return mask if 2 * mask.sum() < len(mask) else np.zeros_like(mask)
