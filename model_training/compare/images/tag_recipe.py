"""Recipes by which synthetic instances get their tags: shares and values by modality.

The paper's data set is not public. Tags are missing here as they are there: a body part
stands in a third of the radiographs and in four fifths of CT and MR, exposure only with
X-rays, orientation and position only in tomographic images.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Shares = Mapping[str, float]
"""Value to the share of images that carry it."""

SPREAD = 0.5
"""Standard deviation of the natural logarithm of exposure times and exposures."""
TILT = 5.0
"""Standard deviation, in degrees, of the rotation of a plane about its rows."""

_NAMES = {
    "Siemens": "SIEMENS",
    "GE": "GE MEDICAL SYSTEMS",
    "Philips": "Philips Medical Systems",
    "Toshiba": "TOSHIBA",
    "Fuji": "FUJIFILM Corporation",
    "Agfa": "Agfa",
    "Carestream": "Carestream Health",
    "Hologic": "HOLOGIC, Inc.",
    "Hitachi": "HITACHI",
    "Samsung": "SAMSUNG MEDISON CO., LTD.",
    "Shimadzu": "SHIMADZU",
    "Planmeca": "Planmeca",
    "Sirona": "SIRONA",
}


def _vendors(**weights: float) -> Shares:
    total = sum(weights.values())
    return {_NAMES[name]: weight / total for name, weight in weights.items()}


@dataclass(frozen=True, slots=True)
class TagRecipe:
    """Tags of one modality.

    Attributes
    ----------
    sop_class
        Last part of the Storage SOP Class UID, after 1.2.840.10008.5.1.4.1.1.
    body_part, exposure, plane, position, acquisition, vendor
        Share of images with BodyPartExamined, ExposureTime and Exposure (drawn
        independently), ImageOrientationPatient, PatientPosition, MRAcquisitionType and
        Manufacturer.
    vendors
        Shares of Manufacturer, the same for every region.
    doses
        Region to the medians of ExposureTime (ms) and Exposure (mAs); "" is any other.
    planes, positions, acquisitions
        Region to shares of values; "" is any other. Planes are used where the view of an
        image is unknown.
    """

    sop_class: str
    body_part: float
    vendors: Shares
    vendor: float = 0.97
    exposure: float = 0.0
    plane: float = 0.0
    position: float = 0.0
    acquisition: float = 0.0
    doses: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    planes: Mapping[str, Shares] = field(default_factory=dict)
    positions: Mapping[str, Shares] = field(default_factory=dict)
    acquisitions: Mapping[str, Shares] = field(default_factory=dict)


_PLAIN_FILM = {
    "": (30.0, 5.0),
    "abdomen": (80.0, 25.0),
    "ankle": (20.0, 4.0),
    "cervical-spine": (40.0, 10.0),
    "chest": (8.0, 2.0),
    "finger": (12.0, 2.0),
    "foot": (15.0, 3.0),
    "hand": (12.0, 2.0),
    "hip": (70.0, 20.0),
    "lumbar-spine": (120.0, 40.0),
    "pelvis": (80.0, 25.0),
    "sinus": (50.0, 16.0),
    "skull": (40.0, 12.0),
    "spine": (100.0, 30.0),
    "thoracic-spine": (90.0, 25.0),
    "wrist": (12.0, 2.0),
}
_CROSS_SECTIONS = {"AXIAL": 1.0}
_BRAIN_PLANES = {"AXIAL": 0.5, "SAGITTAL": 0.25, "CORONAL": 0.25}
_SPINE_PLANES = {"SAGITTAL": 0.6, "AXIAL": 0.4}

RECIPES: Mapping[str, TagRecipe] = {
    "CR": TagRecipe(
        sop_class="1",
        body_part=1 / 3,
        vendors=_vendors(Fuji=3, Agfa=2, Carestream=2, Philips=2, Siemens=2, GE=1),
        exposure=0.6,
        doses=_PLAIN_FILM,
    ),
    "PX": TagRecipe(
        sop_class="1.1",
        body_part=1 / 3,
        vendors=_vendors(Planmeca=3, Sirona=3, Carestream=2),
        exposure=0.6,
        # The tube travels around the head for about 14 s.
        doses={"": (14_000.0, 100.0)},
    ),
    "MG": TagRecipe(
        sop_class="1.2",
        body_part=1 / 3,
        vendors=_vendors(Hologic=4, GE=3, Siemens=2, Fuji=1),
        exposure=0.9,
        doses={"": (1_000.0, 90.0)},
    ),
    "RF": TagRecipe(
        sop_class="12.2",
        body_part=1 / 3,
        vendors=_vendors(Siemens=3, Philips=2, Toshiba=1, Shimadzu=1),
        exposure=0.5,
        doses={"": (50.0, 3.0)},
    ),
    "XA": TagRecipe(
        sop_class="12.1",
        body_part=1 / 3,
        vendors=_vendors(Siemens=3, Philips=3, GE=1, Shimadzu=1),
        exposure=0.7,
        doses={"": (80.0, 8.0)},
    ),
    "CT": TagRecipe(
        sop_class="2",
        body_part=0.8,
        vendors=_vendors(Siemens=3, GE=3, Philips=2, Toshiba=2),
        exposure=0.9,
        plane=0.95,
        position=0.95,
        doses={
            "": (600.0, 150.0),
            "head": (1_000.0, 250.0),
            "chest": (500.0, 100.0),
        },
        planes={"": _CROSS_SECTIONS},
        positions={
            "": {"HFS": 0.6, "FFS": 0.4},
            "head": {"HFS": 0.97, "FFS": 0.03},
        },
    ),
    "MR": TagRecipe(
        sop_class="4",
        body_part=0.8,
        vendors=_vendors(Siemens=4, GE=3, Philips=3, Hitachi=1),
        plane=0.95,
        position=0.95,
        acquisition=0.9,
        planes={
            "": _BRAIN_PLANES,
            "lumbar-spine": _SPINE_PLANES,
            "cervical-spine": _SPINE_PLANES,
        },
        positions={
            "": {"HFS": 0.8, "FFS": 0.2},
            "head": {"HFS": 1.0},
            "breast": {"HFP": 0.95, "HFS": 0.05},
            "knee": {"FFS": 1.0},
        },
        acquisitions={
            "": {"2D": 0.9, "3D": 0.1},
            "head": {"2D": 0.6, "3D": 0.4},
            "breast": {"2D": 0.1, "3D": 0.9},
        },
    ),
    "NM": TagRecipe(
        sop_class="20",
        body_part=0.5,
        vendors=_vendors(Siemens=2, GE=2, Philips=1),
        plane=0.5,
        position=0.5,
        positions={"": {"HFS": 0.8, "FFS": 0.2}},
    ),
    "US": TagRecipe(
        sop_class="6.1",
        body_part=0.5,
        vendors=_vendors(GE=4, Philips=3, Samsung=2, Siemens=2, Toshiba=1),
    ),
}
OTHER = TagRecipe(
    sop_class="7",
    body_part=1 / 3,
    vendors=_vendors(Siemens=1, GE=1, Philips=1),
)
"""Recipe of every other modality: Secondary Capture."""

VIEWS: Mapping[str, str] = {
    "axial": "AXIAL",
    "coronal": "CORONAL",
    "sagittal": "SAGITTAL",
    "short-axis": "OBLIQUE",
}
"""View in a table of labels to the plane of a tomographic image."""

COSINES: Mapping[str, tuple[float, ...]] = {
    "AXIAL": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "CORONAL": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
    "SAGITTAL": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
    "OBLIQUE": (0.7071, 0.7071, 0.0, -0.4082, 0.4082, -0.8165),
}
"""ImageOrientationPatient of each plane: along a row, then down a column (LPS)."""


def recipe_of(modality: str) -> TagRecipe:
    """Return the recipe of a modality."""
    return RECIPES.get(modality, OTHER)
