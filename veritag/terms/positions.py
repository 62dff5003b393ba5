"""Codes of the patient's position, as parts of terms of Patient Position."""

from collections.abc import Mapping

ORIENTATION_MODIFIERS: Mapping[str, str] = {
    **dict.fromkeys(("40199007", "F-10340"), "S"),
    **dict.fromkeys(("1240000", "F-10310"), "P"),
    **dict.fromkeys(("102535000", "F-10317"), "DR"),
    **dict.fromkeys(("102536004", "F-10319"), "DL"),
}
"""PS3.16 CID 20, SNOMED CT and former SNOMED RT codes: the last letters of a term."""

GANTRY_RELATIONSHIPS: Mapping[str, str] = {
    **dict.fromkeys(("102540008", "F-10470"), "HF"),
    **dict.fromkeys(("102541007", "F-10480"), "FF"),
}
"""PS3.16 CID 21, likewise: the first two letters."""
