"""Plan of a snapshot: the instances to learn from, chosen by the records alone."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from model_training.snapshots.archive.reviewed_tags import decides_value
from model_training.snapshots.image_sampling import SamplingConfig, choose_images
from model_training.snapshots.samples import kind_of
from veritag.records import Records
from veritag.records.training.training_data import (
    DecidedTag,
    decided_tags,
    learnable_kinds,
    not_learnable,
)
from veritag.terms.concepts import normalize

NOT_CHOSEN = "more of a common kind or series than are learnt from"

Decided: TypeAlias = Mapping[int, Sequence[DecidedTag]]


@dataclass(frozen=True)
class SnapshotPlan:
    """The instances to learn from, before any is decoded.

    Attributes
    ----------
    ids
        Instance ids in ascending order, of shape (N,).
    decided
        Series id to the decisions on its tags, the oldest first.
    left_out
        Reason to number of instances left out.
    """

    ids: NDArray[np.int64]
    decided: Decided
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.ids)


def plan_snapshot(records: Records, config: SamplingConfig) -> SnapshotPlan:
    """Choose the instances to learn from by the records alone.

    Raises
    ------
    RecordsUnavailable
        If the database does not answer.
    """
    decided = {
        series_id: useful
        for series_id, decisions in decided_tags(records).items()
        if (useful := tuple(d for d in decisions if decides_value(d)))
    }
    ids, series, kinds = _columns(records)
    reviewed = np.isin(series, np.fromiter(decided, np.int64))
    chosen = choose_images(ids, series, kinds, config, reviewed=reviewed)
    left_out = not_learnable(records)
    if not chosen.all():
        left_out[NOT_CHOSEN] = int((~chosen).sum())
    return SnapshotPlan(ids[chosen], decided, left_out)


def _columns(
    records: Records,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return instance ids, series ids and codes of kinds: 24 bytes an instance."""
    ids, series, kinds = array("q"), array("q"), array("q")
    codes: dict[str, int] = {}
    for page in learnable_kinds(records):
        for instance_id, series_id, modality, body_part in page:
            kind = kind_of(
                normalize("Modality", modality) if modality else None,
                normalize("BodyPartExamined", body_part) if body_part else None,
            )
            ids.append(instance_id)
            series.append(series_id)
            kinds.append(codes.setdefault(kind, len(codes)))
    return np.array(ids), np.array(series), np.array(kinds)
