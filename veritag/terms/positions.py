"""Codes of how a patient lies in a machine, as parts of terms of Patient Position."""

from collections.abc import Mapping

LYING: Mapping[str, str] = {
    **dict.fromkeys(("40199007", "F-10340"), "S"),
    **dict.fromkeys(("1240000", "F-10310"), "P"),
    **dict.fromkeys(("102535000", "F-10317"), "DR"),
    **dict.fromkeys(("102536004", "F-10319"), "DL"),
}
"""PS3.16 CID 20, SNOMED CT and the SNOMED RT of before: the end of a term."""

ENTERING: Mapping[str, str] = {
    **dict.fromkeys(("102540008", "F-10470"), "HF"),
    **dict.fromkeys(("102541007", "F-10480"), "FF"),
}
"""PS3.16 CID 21, likewise: its beginning."""
