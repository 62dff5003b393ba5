"""Defined terms of Modality, PatientPosition and the families of Manufacturer."""

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
    # Retired terms (PS3.3 C.7.3.1.1.1) and what took their place.
    "AS": "ES", "CD": "US", "CF": "RF", "CP": "ES", "CS": "ES", "DD": "US",
    "DF": "RF", "DM": "GM", "DS": "XA", "EC": "US", "FA": "OP", "FS": "OP",
    "LP": "ES", "MA": "MR", "MS": "MR", "OPR": "AR", "ST": "NM", "VF": "RF",
    # What is sent instead of a term.
    "MRI": "MR", "NMR": "MR", "PET": "PT", "PETCT": "PT", "CTSCAN": "CT", "CAT": "CT",
    "XRAY": "DX", "XR": "DX", "DR": "DX", "ULTRASOUND": "US", "USG": "US",
    "MAMMO": "MG", "MAMMOGRAPHY": "MG", "ANGIO": "XA", "SPECT": "NM", "CBCT": "CT",
    "FLUORO": "RF", "OPG": "PX", "ENDOSCOPY": "ES", "OTHER": "OT", "SC": "OT",
}  # fmt: skip

MODALITY_PARTS = {
    "OT": MODALITIES - {"OT"},
    "RG": frozenset({"CR", "DX", "IO", "PX", "MG"}),
    "US": frozenset({"IVUS", "BDUS"}),
    "XC": frozenset({"DMS", "ES", "OP", "GM"}),
}
"""A modality that also stands, less precisely, for others."""

MODALITY_ALIKE = (
    # Projection radiography: the picture does not tell the detector.
    frozenset({"CR", "DX", "IO", "PX"}),
    frozenset({"XA", "RF"}),
    frozenset({"OCT", "OPT"}),
    frozenset({"IVOCT", "OCT"}),
    frozenset({"ES", "GM", "DMS"}),
    frozenset({"SM", "CFM"}),
)
"""Modalities whose pictures are of one kind."""

PATIENT_POSITIONS = frozenset(
    """
    HFP HFS HFDR HFDL FFP FFS FFDR FFDL LFP LFS RFP RFS AFDR AFDL PFDR PFDL SITTING
    """.split()
)
"""PS3.3 C.7.3.1.1.2, Patient Position (0018,5100)."""

VENDORS = (
    # Words of Manufacturer (0008,0070), free text, to the family that a scanner
    # belongs to; the first that occurs wins.
    ("SIEMENS", "SIEMENS"),
    ("ACUSON", "SIEMENS"),
    ("VARIAN", "VARIAN"),
    ("PHILIPS", "PHILIPS"),
    ("ADAC", "PHILIPS"),
    ("ATL", "PHILIPS"),
    ("MARCONI", "PICKER"),
    ("PICKER", "PICKER"),
    ("ELSCINT", "ELSCINT"),
    ("GENERAL ELECTRIC", "GE"),
    ("GEMS", "GE"),
    ("GE", "GE"),
    ("LUNAR", "GE"),
    ("CANON", "CANON"),
    ("TOSHIBA", "CANON"),
    ("HITACHI", "FUJIFILM"),
    ("ALOKA", "FUJIFILM"),
    ("SONOSITE", "FUJIFILM"),
    ("FUJI", "FUJIFILM"),
    ("FUJIFILM", "FUJIFILM"),
    ("KONICA", "KONICA MINOLTA"),
    ("MINOLTA", "KONICA MINOLTA"),
    ("AGFA", "AGFA"),
    ("CARESTREAM", "CARESTREAM"),
    ("KODAK", "CARESTREAM"),
    ("HOLOGIC", "HOLOGIC"),
    ("LORAD", "HOLOGIC"),
    ("TREX", "HOLOGIC"),
    ("SAMSUNG", "SAMSUNG"),
    ("MEDISON", "SAMSUNG"),
    ("UIH", "UNITED IMAGING"),
    ("UNITED IMAGING", "UNITED IMAGING"),
    ("SHIMADZU", "SHIMADZU"),
    ("NEUSOFT", "NEUSOFT"),
    ("MINDRAY", "MINDRAY"),
    ("ESAOTE", "ESAOTE"),
    ("BRUKER", "BRUKER"),
    ("BIOSPACE", "EOS"),
    ("EOS", "EOS"),
    ("PLANMECA", "PLANMECA"),
    ("SIRONA", "SIRONA"),
    ("MEDISO", "MEDISO"),
    ("CTI", "SIEMENS"),
    ("ACCURAY", "ACCURAY"),
    ("TOMOTHERAPY", "ACCURAY"),
    ("ELEKTA", "ELEKTA"),
    ("BARCO", "BARCO"),
    ("SECTRA", "SECTRA"),
    ("ZEISS", "ZEISS"),
    ("TOPCON", "TOPCON"),
    ("NIDEK", "NIDEK"),
    ("HEIDELBERG", "HEIDELBERG"),
    ("LEICA", "LEICA"),
    ("HAMAMATSU", "HAMAMATSU"),
    ("OLYMPUS", "OLYMPUS"),
)
