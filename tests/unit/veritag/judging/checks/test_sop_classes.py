"""The table of SOP Classes and the modalities that they allow."""

from pydicom._uid_dict import UID_dictionary

from veritag.terms.concepts import is_defined
from veritag.terms.sop_classes import IMAGE_STORAGE, MODALITIES_OF, MULTI_FRAME_GROUPS

_NOT_MEDICAL = ("DICOS", "Eddy Current", "Hardcopy", "Trial")


def test_every_image_of_the_standard_is_known() -> None:
    """The table has every Storage SOP Class of images in the standard."""
    of_the_standard = {
        uid
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class"
        and "Image Storage" in name
        and not any(word in name for word in _NOT_MEDICAL)
    }
    assert of_the_standard - IMAGE_STORAGE == set()
    assert MULTI_FRAME_GROUPS <= IMAGE_STORAGE


def test_only_defined_terms_are_allowed() -> None:
    """Allowed modalities are Defined Terms."""
    allowed = frozenset[str]().union(*MODALITIES_OF.values())
    assert [term for term in allowed if not is_defined("Modality", term)] == []


def test_legacy_converted_objects_keep_their_modality() -> None:
    """Classic, Enhanced and Legacy Converted classes allow the same modality."""
    root = "1.2.840.10008.5.1.4.1.1."
    for term, suffixes in {
        "CT": ("2", "2.1", "2.2"),
        "MR": ("4", "4.1", "4.3", "4.4"),
        "PT": ("128", "128.1", "130"),
    }.items():
        assert {MODALITIES_OF[root + suffix] for suffix in suffixes} == {
            frozenset({term})
        }
    assert root + "7" not in MODALITIES_OF
