"""Defined terms of Modality, PatientPosition and MRAcquisitionType, and vendors."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

MODALITIES = frozenset(
    """
    ANN AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS
    ES FID GM HC HD IO IOL IVOCT IVUS KER KO LEN LS MG MR M3D NM OAM OCT OP OPM OPT
    OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE
    RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF STAIN
    TEXTUREMAP TG US VA XA XAPROTOCOL XC
    """.split()
)
"""PS3.3 C.7.3.1.1.1, Modality (0008,0060)."""

MODALITY_SPELLINGS = {
    # Retired terms (PS3.3 C.7.3.1.1.1) and their successors.
    "AS": "ES", "CD": "US", "CF": "RF", "CP": "ES", "CS": "ES", "DD": "US",
    "DF": "RF", "DM": "GM", "DS": "XA", "EC": "US", "FA": "OP", "FS": "OP",
    "LP": "ES", "MA": "MR", "MS": "MR", "OPR": "AR", "ST": "NM", "VF": "RF",
    # Other values in use.
    "MRI": "MR", "NMR": "MR", "PET": "PT", "PETCT": "PT", "CTSCAN": "CT", "CAT": "CT",
    "XRAY": "DX", "XR": "DX", "DR": "DX", "ULTRASOUND": "US", "USG": "US",
    "MAMMO": "MG", "MAMMOGRAPHY": "MG", "ANGIO": "XA", "SPECT": "NM", "CBCT": "CT",
    "FLUORO": "RF", "OPG": "PX", "ENDOSCOPY": "ES", "OTHER": "OT", "SC": "OT",
}  # fmt: skip

NARROWER_MODALITIES = {
    "OT": MODALITIES - {"OT"},
    "RG": frozenset({"CR", "DX", "IO", "PX", "MG"}),
    "US": frozenset({"IVUS", "BDUS"}),
    "XC": frozenset({"DMS", "ES", "OP", "GM"}),
}
"""A modality to the more precise ones that it also covers."""

SIMILAR_MODALITIES = (
    # Projection radiography: the picture does not show the kind of detector.
    frozenset({"CR", "DX", "IO", "PX"}),
    frozenset({"XA", "RF"}),
    frozenset({"OCT", "OPT"}),
    frozenset({"IVOCT", "OCT"}),
    frozenset({"ES", "GM", "DMS"}),
    frozenset({"SM", "CFM"}),
)
"""Groups of modalities with pictures of one kind."""

PATIENT_POSITIONS = frozenset(
    """
    HFP HFS HFDR HFDL FFP FFS FFDR FFDL LFP LFS RFP RFS AFDR AFDL PFDR PFDL SITTING
    """.split()
)
"""PS3.3 C.7.3.1.1.2, Patient Position (0018,5100)."""

PATIENT_POSITION_SPELLINGS = {
    f"{end}FIRST{posture}": f"{end[0]}F{suffix}"
    for end in ("HEAD", "FEET")
    for posture, suffix in {
        "SUPINE": "S",
        "PRONE": "P",
        "DECUBITUSRIGHT": "DR",
        "DECUBITUSLEFT": "DL",
    }.items()
}
"""Values written out in full, normalized by `squeeze`: HEAD FIRST-SUPINE."""

ACQUISITION_TYPES = frozenset({"2D", "3D"})
"""PS3.3 C.8.3.1, MR Acquisition Type (0018,0023)."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor, and the words of Manufacturer and of model names that identify it."""

    family: str
    names: re.Pattern[str]
    models: frozenset[str]


def _read_vendors() -> Iterator[Vendor]:
    text = files("veritag.terms").joinpath("manufacturers.tsv").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for row in csv.DictReader(lines, delimiter="\t"):
        names = "|".join(map(re.escape, row["names"].split(";")))
        models = frozenset(row["models"].split())
        yield Vendor(row["family"], re.compile(rf"\b(?:{names})\b"), models)


VENDORS = tuple(_read_vendors())


def vendor(text: str) -> str | None:
    """Return the family of a known vendor, or the name itself in upper case.

    A name without Latin letters or digits is kept as received.
    """
    words = " ".join(re.findall(r"[A-Z0-9]+", text.upper()))
    for candidate in VENDORS:
        if candidate.names.search(words):
            return candidate.family
    name = " ".join(text.upper().split())
    return words or (name if any(map(str.isalnum, name)) else None)


@lru_cache(maxsize=512)
def vendor_of_model(model: str) -> str | None:
    """Return the only vendor of a model, None where none or several are known."""
    words = set(re.findall(r"[A-Z0-9_]+", model.upper()))
    families = {candidate.family for candidate in VENDORS if candidate.models & words}
    return families.pop() if len(families) == 1 else None
