"""Modalities that each Storage SOP Class allows, from its IOD in PS3.3.

Classes whose IOD leaves the Modality open (Secondary Capture, Raw Data, encapsulated
documents) are not in the table. Where practice is wider than the text and harmless (CR
and DX), the set is wider.
"""

_ROOT = "1.2.840.10008.5.1.4.1.1."

_PROJECTION = "CR DX RG PX IO MG RF BMD"

_IMAGES = {
    # Computed and Digital Radiography: practice mixes the terms, the pictures are alike.
    "1": _PROJECTION,
    "1.1": _PROJECTION,
    "1.1.1": _PROJECTION,
    "1.2": "MG",
    "1.2.1": "MG",
    "1.3": "IO PX DX CR",
    "1.3.1": "IO PX DX CR",
    "2": "CT",
    "2.1": "CT",
    "2.2": "CT",
    "3": "US IVUS BDUS",
    "3.1": "US IVUS BDUS",
    "4": "MR",
    "4.1": "MR",
    "4.3": "MR",
    "4.4": "MR",
    "5": "NM",
    "6": "US IVUS BDUS",
    "6.1": "US IVUS BDUS",
    "6.2": "US IVUS",
    "6.3": "PA",
    "12.1": "XA RF",
    "12.1.1": "XA RF",
    "12.2": "RF XA",
    "12.2.1": "RF XA",
    "12.3": "XA",
    "13.1.1": "XA RF CT DX",
    "13.1.3": "MG",
    "13.1.4": "MG",
    "13.1.5": "MG",
    "14.1": "IVOCT",
    "14.2": "IVOCT",
    "20": "NM",
    "77.1.1": "ES",
    "77.1.1.1": "ES",
    "77.1.2": "GM",
    "77.1.2.1": "GM",
    "77.1.3": "SM",
    "77.1.4": "XC DMS GM ES OP",
    "77.1.4.1": "XC DMS GM ES OP",
    "77.1.5.1": "OP",
    "77.1.5.2": "OP",
    "77.1.5.4": "OPT OCT",
    "77.1.5.5": "OP",
    "77.1.5.6": "OP",
    "77.1.5.7": "OPTENF",
    "77.1.5.8": "OPTBSV",
    "77.1.6": "SM",
    "77.1.7": "DMS XC",
    "77.1.8": "CFM",
    "77.1.9": "CFM",
    "128": "PT",
    "128.1": "PT",
    "130": "PT",
    "481.1": "RTIMAGE",
    "66.4": "SEG",
    "66.7": "SEG",
    "66.8": "SEG",
}

_OTHER_OBJECTS = {
    "4.2": "MR",
    **dict.fromkeys([f"11.{n}" for n in range(1, 13)], "PR"),
    "66.1": "REG",
    "66.3": "REG",
    "66.2": "FID",
    "66.5": "SEG",
    "67": "RWV",
    **dict.fromkeys(
        "88.11 88.22 88.33 88.34 88.35 88.40 88.50 88.65 88.67 88.68 88.69 88.70 88.71"
        " 88.72 88.73 88.74 88.75 88.76".split(),
        "SR",
    ),
    "88.59": "KO",
    "90.1": "ASMT",
    "91.1": "ANN",
    "481.2": "RTDOSE",
    "481.3": "RTSTRUCT",
    "481.4": "RTRECORD",
    "481.5": "RTPLAN",
    "481.6": "RTRECORD",
    "481.7": "RTRECORD",
    "481.8": "RTPLAN",
    "481.9": "RTRECORD",
}

_ANY_MODALITY_IMAGES = "7 7.1 7.2 7.3 7.4 13.1.2 30 481.23 481.24".split()
"""Secondary Capture in its forms, 3D craniofacial, Parametric Map, Enhanced RT."""

_GROUPED = (
    "2.1 2.2 4.1 4.3 4.4 6.2 6.3 12.1.1 12.2.1 13.1.1 13.1.2 13.1.3 13.1.4 13.1.5 14.1"
    " 14.2 30 66.4 66.7 66.8 77.1.5.4 77.1.6 77.1.9 128.1 130"
)

MODALITIES_OF = {
    _ROOT + suffix: frozenset(terms.split())
    for suffix, terms in (_IMAGES | _OTHER_OBJECTS).items()
}
"""SOP Class UID to the modalities that it allows; other classes allow all."""

IMAGE_STORAGE = frozenset(
    _ROOT + suffix for suffix in (*_IMAGES, *_ANY_MODALITY_IMAGES)
)
"""SOP Classes whose instances hold a picture."""

MULTI_FRAME_GROUPS = frozenset(_ROOT + suffix for suffix in _GROUPED.split())
"""SOP Classes that describe their frames in functional groups (PS3.3 C.7.6.16)."""
