"""Which modalities a Storage SOP Class allows, from its IOD in PS3.3.

Where an IOD leaves the Modality open (Secondary Capture, Raw Data, encapsulated
documents), or practice is wider than the text and harms nobody (CR and DX), the table
says so by a wider set or by leaving the class out.
"""

_ROOT = "1.2.840.10008.5.1.4.1.1."

_PROJECTION = "CR DX RG PX IO MG RF BMD"

_IMAGES = {
    # Computed and Digital Radiography: detectors change names more often than pictures.
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
    "77.1.6": "SM",
    "77.1.7": "DMS",
    "128": "PT",
    "128.1": "PT",
    "130": "PT",
    "481.1": "RTIMAGE",
    "66.4": "SEG",
}

_OTHER_OBJECTS = {
    "4.2": "MR",
    "11.1": "PR",
    "11.2": "PR",
    "66.1": "REG",
    "66.3": "REG",
    "66.2": "FID",
    "66.5": "SEG",
    "67": "RWV",
    "88.11": "SR",
    "88.22": "SR",
    "88.33": "SR",
    "88.50": "SR",
    "88.59": "KO",
    "88.65": "SR",
    "88.67": "SR",
    "481.2": "RTDOSE",
    "481.3": "RTSTRUCT",
    "481.4": "RTRECORD",
    "481.5": "RTPLAN",
    "481.8": "RTPLAN",
}

_ANY_MODALITY_IMAGES = ("7", "7.1", "7.2", "7.3", "7.4", "30")
"""Secondary Capture in its forms, and Parametric Map."""

MODALITIES_OF = {
    _ROOT + suffix: frozenset(terms.split())
    for suffix, terms in (_IMAGES | _OTHER_OBJECTS).items()
}
"""SOP Class UID to the modalities that it allows; a class left out allows all."""

IMAGE_STORAGE = frozenset(
    _ROOT + suffix for suffix in (*_IMAGES, *_ANY_MODALITY_IMAGES)
)
"""SOP Classes whose instances hold a picture."""
