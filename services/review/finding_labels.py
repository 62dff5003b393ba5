"""Labels, titles and meanings of the finding codes, for reviewers."""

from collections.abc import Mapping

from veritag.findings import FindingCode

LABELS: Mapping[FindingCode, str] = {
    FindingCode.TAG_CONTRADICTS_IMAGE: "Tag contradicts the image",
    FindingCode.TAG_MISSING: "Tag is missing",
    FindingCode.TAG_TOO_COARSE: "Tag is too coarse",
    FindingCode.VALUE_NOT_DEFINED: "Value is not a defined term",
    FindingCode.MIXED_SERIES: "Series is mixed",
    FindingCode.UNKNOWN_KIND: "Kind of image is unknown",
    FindingCode.UNREADABLE: "Instances cannot be read",
    FindingCode.NO_PIXELS: "Instances have no picture",
    FindingCode.DUPLICATE_UID_CONFLICT: "SOP Instance UID with different contents",
    FindingCode.MODALITY_CONTRADICTS_SOP_CLASS: "Modality contradicts the SOP Class",
    FindingCode.SERIES_IN_SEVERAL_STUDIES: "Series is in several studies",
    FindingCode.ATTRIBUTE_MISSING: "Required attribute is missing",
    FindingCode.UID_INVALID: "UID has a wrong form",
    FindingCode.ORIENTATION_INVALID: "Image Orientation (Patient) is not valid",
    FindingCode.ORIENTATIONS_DISAGREE: "Orientations disagree",
    FindingCode.POSITION_CONTRADICTS_ORIENTATION: (
        "Patient Position contradicts the orientation"
    ),
    FindingCode.LATERALITY_MISSING: "Side is missing",
    FindingCode.LATERALITIES_DISAGREE: "Sides disagree",
    FindingCode.LATERALITY_CONTRADICTS_BODY_PART: "Side contradicts the body part",
    FindingCode.IMAGE_TYPE_INVALID: "Image Type is not a defined term",
    FindingCode.DATE_INVALID: "Date or time has a wrong form",
    FindingCode.DATES_DISAGREE: "Dates disagree",
    FindingCode.DATE_IN_FUTURE: "Date is in the future",
}

TITLES: Mapping[FindingCode, str] = {
    FindingCode.TAG_CONTRADICTS_IMAGE: "{tag} contradicts the image",
    FindingCode.TAG_MISSING: "{tag} is missing",
    FindingCode.TAG_TOO_COARSE: "{tag} is too coarse",
    FindingCode.VALUE_NOT_DEFINED: "{tag} is not a defined term",
    FindingCode.MIXED_SERIES: "{tag} differs within the series",
    FindingCode.ATTRIBUTE_MISSING: "Required {tag} is missing",
    FindingCode.UID_INVALID: "{tag} has a wrong form",
    FindingCode.DATE_INVALID: "{tag} has a wrong form",
    FindingCode.DATE_IN_FUTURE: "{tag} is in the future",
}

MEANINGS: Mapping[FindingCode, str] = {
    FindingCode.TAG_CONTRADICTS_IMAGE: ("Similar images have another value."),
    FindingCode.TAG_MISSING: (
        "Similar images have this tag; here it is absent or empty."
    ),
    FindingCode.TAG_TOO_COARSE: (
        "The value is right, but similar images have a more precise one."
    ),
    FindingCode.VALUE_NOT_DEFINED: (
        "The standard does not define this value for this tag."
    ),
    FindingCode.MIXED_SERIES: (
        "Instances of this series have values that do not belong together."
    ),
    FindingCode.UNKNOWN_KIND: (
        "The model does not know this kind of image and judges none of its tags."
    ),
    FindingCode.UNREADABLE: "Instances of this series could not be read or decoded.",
    FindingCode.NO_PIXELS: "Instances of this series have no picture to compare their tags with.",
    FindingCode.DUPLICATE_UID_CONFLICT: (
        "The same SOP Instance UID was received with different contents; all were kept."
    ),
    FindingCode.MODALITY_CONTRADICTS_SOP_CLASS: (
        "The SOP Class of the instances is that of another modality."
    ),
    FindingCode.SERIES_IN_SEVERAL_STUDIES: (
        "A series belongs to one study. Archives may split or merge this one."
    ),
    FindingCode.ATTRIBUTE_MISSING: (
        "The standard requires a value for this attribute; it is absent or empty."
    ),
    FindingCode.UID_INVALID: (
        "Archives may refuse an object with such a UID, or not find it again."
    ),
    FindingCode.ORIENTATION_INVALID: (
        "The position of the image in the body cannot be computed from these values."
    ),
    FindingCode.ORIENTATIONS_DISAGREE: (
        "Patient Orientation and Image Orientation (Patient) give different directions; "
        "one of them may swap sides."
    ),
    FindingCode.POSITION_CONTRADICTS_ORIENTATION: (
        "The patient position and the orientation of the image exclude each other."
    ),
    FindingCode.LATERALITY_MISSING: (
        "The body part is paired, and no attribute names the side."
    ),
    FindingCode.LATERALITIES_DISAGREE: (
        "Attributes of one object name opposite sides of the body."
    ),
    FindingCode.LATERALITY_CONTRADICTS_BODY_PART: (
        "The side does not fit the body part: one of the two is wrong."
    ),
    FindingCode.IMAGE_TYPE_INVALID: (
        "Systems that select original or primary images by Image Type may miss these."
    ),
    FindingCode.DATE_INVALID: (
        "Worklists and searches by date cannot read this value."
    ),
    FindingCode.DATES_DISAGREE: (
        "The order of the dates is impossible: one of them is wrong."
    ),
    FindingCode.DATE_IN_FUTURE: (
        "The date is later than the arrival of the object: a clock is wrong."
    ),
}

PICTURES_DIFFER = (
    "The tags of this series agree, but its pictures show kinds that do not belong "
    "together."
)
"""Meaning of a MIXED_SERIES that is about no tag."""
