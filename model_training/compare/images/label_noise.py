"""Label noise: wrong tags in the training data, to measure what they cost."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from model_training.snapshots.samples import Sample
from model_training.tag_model.error_injection import wrong_values

TAGS = ("Modality", "BodyPartExamined")
SEED = 20_211_018


def with_wrong_tags(
    samples: Sequence[Sample], share: float, seed: int = SEED
) -> tuple[Sample, ...]:
    """Return the samples with a share of the values of each of `TAGS` wrong.

    The draws do not depend on the share: a larger one adds wrong tags and keeps those of
    a smaller one.
    """
    tags = [dict(s.tags) for s in samples]
    for tag in TAGS:
        rng = np.random.default_rng([seed, len(tag)])
        right = np.array([t.get(tag, "") for t in tags], dtype=np.str_)
        chosen = rng.random(len(samples)) < share
        wrong = wrong_values(tag, right, rng)
        for row in np.flatnonzero(chosen & (wrong != "")):
            tags[row][tag] = str(wrong[row])
    return tuple(
        replace(s, tags=own) if own != s.tags else s
        for s, own in zip(samples, tags, strict=True)
    )
