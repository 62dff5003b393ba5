"""Injection of tag errors: the wrong values for calibration and for the final check."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from veritag.terms.concepts import compatible

ERROR_RATE = 0.05
"""Share of wrong tags that thresholds and probabilities assume. Where more tags are
wrong, more of the flags are right."""

CONFUSIONS: Mapping[str, Mapping[str, Sequence[str]]] = {
    # Left by a copied protocol, a slip in a menu, or the patient before.
    "Modality": {
        "CT": ("MR", "PT", "CR"),
        "MR": ("CT", "US"),
        "PT": ("CT", "NM"),
        "NM": ("PT", "CT"),
        "CR": ("CT", "MG", "XA", "RF"),
        "DX": ("CT", "MG", "XA", "RF"),
        "MG": ("CR", "DX", "US"),
        "US": ("MR", "CT", "XA"),
        "XA": ("CR", "DX", "CT"),
        "RF": ("CR", "DX", "CT"),
        "PX": ("CT", "MR"),
    },
    "BodyPartExamined": {
        "HEAD": ("NECK", "CSPINE", "CHEST"),
        "NECK": ("HEAD", "CHEST", "TSPINE"),
        "CHEST": ("ABDOMEN", "HEAD", "SHOULDER", "LSPINE"),
        "HEART": ("ABDOMEN", "NECK"),
        "BREAST": ("ABDOMEN", "PELVIS"),
        "ABDOMEN": ("CHEST", "HEAD", "KNEE"),
        "LIVER": ("CHEST", "PELVIS", "BREAST"),
        "PELVIS": ("CHEST", "KNEE", "SHOULDER"),
        "HIP": ("SHOULDER", "KNEE"),
        "KNEE": ("ANKLE", "ELBOW", "HIP", "SHOULDER"),
        "ANKLE": ("KNEE", "WRIST", "HAND"),
        "FOOT": ("HAND", "KNEE"),
        "HAND": ("FOOT", "ELBOW"),
        "WRIST": ("ANKLE", "ELBOW"),
        "ELBOW": ("KNEE", "WRIST", "SHOULDER"),
        "SHOULDER": ("HIP", "KNEE", "ELBOW"),
        "CSPINE": ("LSPINE", "HEAD", "KNEE"),
        "LSPINE": ("CSPINE", "HEAD", "KNEE"),
        "SPINE": ("KNEE", "HEAD"),
        "JAW": ("CHEST", "KNEE"),
    },
    "MRAcquisitionType": {"2D": ("3D",), "3D": ("2D",)},
    "PatientPosition": {"HFS": ("FFS", "HFP"), "FFS": ("HFS",), "HFP": ("HFS",)},
}


def wrong_values(
    tag: str, right: NDArray[np.str_], rng: np.random.Generator
) -> NDArray[np.str_]:
    """Return a wrong value for each right one, of shape (N,), empty where there is none.

    Half are plausible confusions, half are drawn from the values in `right` by their
    frequency. None is compatible with the right value.
    """
    occurring = Counter(v for v in right.tolist() if v)
    return np.array(
        [_wrong_value(tag, str(value), occurring, rng) for value in right],
        dtype=np.str_,
    )


def _wrong_value(
    tag: str, right: str, occurring: Mapping[str, int], rng: np.random.Generator
) -> str:
    if not right:
        return ""
    plausible = CONFUSIONS.get(tag, {}).get(right, ())
    plausible = [v for v in plausible if not compatible(tag, v, right)]
    # Sorted, because the draw must not depend on the order of the images.
    others = [v for v in sorted(occurring) if not compatible(tag, v, right)]
    if plausible and (not others or rng.random() < 0.5):  # noqa: PLR2004 -- half of them
        return str(rng.choice(plausible))
    if not others:
        return ""
    counts = np.array([occurring[v] for v in others], dtype=np.float64)
    return str(rng.choice(others, p=counts / counts.sum()))


def inject_errors(
    tag: str, right: NDArray[np.str_], rng: np.random.Generator
) -> tuple[NDArray[np.str_], NDArray[np.bool_]]:
    """Return the tag's values with a share `ERROR_RATE` wrong, and which are wrong."""
    wrong = wrong_values(tag, right, rng)
    chosen = (rng.random(len(right)) < ERROR_RATE) & (wrong != "")
    return np.where(chosen, wrong, right), chosen
