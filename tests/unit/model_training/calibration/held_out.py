"""A builder of held-out scores of one tag."""

from collections.abc import Sequence

import numpy as np

from model_training.calibration.held_out_scores import HeldOutScores
from veritag.dicom.tags import JUDGED_TAGS


def held_out_scores(
    tag: str,
    right: Sequence[float],
    wrong: Sequence[float],
    *,
    received: Sequence[str],
    injected: Sequence[str],
    raw_novelty: float = 0.5,
) -> HeldOutScores:
    """Return scores of CT images of known stations; other tags are absent.

    Parameters
    ----------
    right, wrong
        Scores of the received and of the injected values.
    """
    n = len(right)
    absent = {t: np.full(n, "", dtype="<U8") for t in JUDGED_TAGS}
    unscored = {t: np.full(n, np.nan) for t in JUDGED_TAGS}
    return HeldOutScores(
        np.full(n, raw_novelty),
        np.ones(n, dtype=bool),
        {**absent, "Modality": np.full(n, "CT"), tag: np.array(received)},
        {**absent, tag: np.array(injected)},
        {**unscored, tag: np.array(right)},
        {**unscored, tag: np.array(wrong)},
    )
