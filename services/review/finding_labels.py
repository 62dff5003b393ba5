"""What each finding code is called and means, for reviewers."""

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
    FindingCode.NO_PIXELS: "Instances hold no picture",
    FindingCode.DUPLICATE_UID_CONFLICT: "One UID, different contents",
    FindingCode.MODALITY_CONTRADICTS_SOP_CLASS: "Modality contradicts the SOP Class",
    FindingCode.SERIES_IN_SEVERAL_STUDIES: "Series lies in several studies",
    FindingCode.ATTRIBUTE_MISSING: "Required attribute is missing",
    FindingCode.UID_INVALID: "UID has a wrong form",
    FindingCode.ORIENTATION_INVALID: "Image orientation is no orientation",
    FindingCode.ORIENTATIONS_DISAGREE: "Orientations disagree",
    FindingCode.POSITION_CONTRADICTS_ORIENTATION: (
        "Patient position contradicts the orientation"
    ),
    FindingCode.LATERALITY_MISSING: "Side is missing",
    FindingCode.LATERALITIES_DISAGREE: "Sides disagree",
    FindingCode.LATERALITY_CONTRADICTS_BODY_PART: "Side contradicts the body part",
    FindingCode.IMAGE_TYPE_INVALID: "Image type is not as defined",
    FindingCode.DATE_INVALID: "Date or time has a wrong form",
    FindingCode.DATES_DISAGREE: "Dates disagree",
    FindingCode.DATE_IN_FUTURE: "Date lies in the future",
}

TITLES: Mapping[FindingCode, str] = {
    FindingCode.TAG_CONTRADICTS_IMAGE: "{tag} contradicts the image",
    FindingCode.TAG_MISSING: "{tag} is missing",
    FindingCode.TAG_TOO_COARSE: "{tag} is too coarse",
    FindingCode.VALUE_NOT_DEFINED: "{tag} is not a defined term",
    FindingCode.MIXED_SERIES: "{tag} differs within the series",
    FindingCode.ATTRIBUTE_MISSING: "{tag} is required and missing",
    FindingCode.UID_INVALID: "{tag} has a wrong form",
    FindingCode.DATE_INVALID: "{tag} has a wrong form",
    FindingCode.DATE_IN_FUTURE: "{tag} lies in the future",
}

MEANINGS: Mapping[FindingCode, str] = {
    FindingCode.TAG_CONTRADICTS_IMAGE: (
        "Images that look like these carry another value."
    ),
    FindingCode.TAG_MISSING: (
        "Images that look like these carry this tag; here it is absent or empty."
    ),
    FindingCode.TAG_TOO_COARSE: (
        "The value is true, and a more precise one is usual for images like these."
    ),
    FindingCode.VALUE_NOT_DEFINED: (
        "The value is not among the terms that the standard defines for this tag."
    ),
    FindingCode.MIXED_SERIES: (
        "The instances of this series carry values that cannot stand side by side."
    ),
    FindingCode.UNKNOWN_KIND: (
        "The model has seen nothing like these images, so it judges none of their tags."
    ),
    FindingCode.UNREADABLE: "Instances of this series could not be read or decoded.",
    FindingCode.NO_PIXELS: "Instances of this series hold no picture to compare with.",
    FindingCode.DUPLICATE_UID_CONFLICT: (
        "The same SOP Instance UID was received with different contents; "
        "all of them were kept."
    ),
    FindingCode.MODALITY_CONTRADICTS_SOP_CLASS: (
        "The SOP Class of the instances belongs to another modality."
    ),
    FindingCode.SERIES_IN_SEVERAL_STUDIES: (
        "A series belongs to one study; archives split or merge what lies in several."
    ),
    FindingCode.ATTRIBUTE_MISSING: (
        "The standard requires a value here, and there is none."
    ),
    FindingCode.UID_INVALID: (
        "Archives may refuse the object or fail to find it under such a UID."
    ),
    FindingCode.ORIENTATION_INVALID: (
        "Where the image lies in the body cannot be computed from these values."
    ),
    FindingCode.ORIENTATIONS_DISAGREE: (
        "Letters and cosines direct the image differently; one of them swaps sides."
    ),
    FindingCode.POSITION_CONTRADICTS_ORIENTATION: (
        "The patient cannot have lain like this when the image was acquired."
    ),
    FindingCode.LATERALITY_MISSING: (
        "The body has two of this part, and no attribute tells which one is shown."
    ),
    FindingCode.LATERALITIES_DISAGREE: (
        "Attributes of the same object name opposite sides of the body."
    ),
    FindingCode.LATERALITY_CONTRADICTS_BODY_PART: (
        "Side and body part do not fit: one of the two is wrong."
    ),
    FindingCode.IMAGE_TYPE_INVALID: (
        "Whoever selects original or primary images by it misses or mistakes these."
    ),
    FindingCode.DATE_INVALID: (
        "Worklists and searches by date do not understand such a value."
    ),
    FindingCode.DATES_DISAGREE: (
        "The order of events cannot be true: one of the dates is wrong."
    ),
    FindingCode.DATE_IN_FUTURE: (
        "The object says that it was made after it arrived: a clock is wrong."
    ),
}

PICTURES_DIFFER = (
    "The tags of this series agree, and its pictures do not: they show kinds that "
    "cannot stand side by side."
)
"""What MIXED_SERIES means where it is about no tag."""
