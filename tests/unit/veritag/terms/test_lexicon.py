"""Body parts are found in the values and descriptions of vendors and languages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veritag.terms.body_parts import PARTS
from veritag.terms.concepts import normalize
from veritag.terms.lexicon import body_part_in_text

LANGUAGES = {
    "Kniegelenk rechts": "KNEE",
    "Schädel": "SKULL",
    "SCHAEDEL": "SKULL",
    "Oberbauch nativ": "ABDOMEN",
    "HWS seitlich": "CSPINE",
    "CT Thorax/Abdomen/Becken": "CHESTABDPELVIS",
    "Genou gauche": "KNEE",
    "THORAX FACE": "CHEST",
    "IRM encéphalique": "BRAIN",
    "rachis lombaire": "LSPINE",
    "Scanner thoraco-abdomino-pelvien": "CHESTABDPELVIS",
    "RM Mamária": "BREAST",
    "Coluna lombar": "LSPINE",
    "TC de Tórax": "CHEST",
    "RM rodilla izquierda": "KNEE",
    "TAC cráneo": "SKULL",
    "columna cervical": "CSPINE",
    "Ginocchio sinistro": "KNEE",
    "TC torace e addome": "CHESTABDOMEN",
    "PUNCTIE BORST LINKS": "BREAST",
    "MR Lever met contrast": "LIVER",
    "Heup rechts": "HIP",
    "MR Hjärna": "BRAIN",
    "Højre knæ": "KNEE",
    "RYGSØJLE": "SPINE",
    "CT Buk": None,
}

PROTOCOLS = {
    "L_SPINE": "LSPINE",
    "XR C Spine Comp Min 4 Views": "CSPINE",
    "MR Lever": "LIVER",
    "Cardiac^_Cardio_033sec (Adult)": "HEART",
    "CT THORAX/ABDOMEN": "CHESTABDOMEN",
    "05_AbdomenRoutine": "ABDOMEN",
    "Thorax2.0 B70f": "CHEST",
    "CT, HEAD/BRAIN WO CONT": "HEAD",
    "1A TRAUMA/PLAIN HEAD DM": "HEAD",
    "Abdomen Venous 1.25mm": "ABDOMEN",
    "L3-S1^L1-L4": "LSPINE",
    "e+1 KNEE-RT.": "KNEE",
    "RKNEE AP": "KNEE",
    "PET/CT,TUMOR SKULL TO THIGH": "WHOLEBODY",
    "PET WB_0": "WHOLEBODY",
    "Whole Body Bone": "WHOLEBODY",
    "Stomach Body Biopsy - Micro": "STOMACH",
    "SPINE T2 SAG": "SPINE",
    "Echo": "HEART",
    "R MLO TomoHD": "BREAST",
    "MODALITYLUT - TEETH": "JAW",
}

SILENT = (
    "t1_tse_tra_p2", "SE - TI 2500", "head first", "Body coil", "arterial", "localizer",
    "MRI LE Joint w/o Contrast Left", "echo 2 of 3", "Hand injection", "3-PLANE LOC",
    "main 2", "C-ARM", "C+ WL", "T1-T2 map", "Thorax^1HEAD_NECK_PETCT", "", "\0", "<b>",
    "Dose report CTDI vol", "RCC follow-up", "LAO 30 cranial 20", "rectal contrast",
)  # fmt: skip


@pytest.mark.parametrize("text", [*LANGUAGES, *PROTOCOLS])
def test_descriptions_are_understood(text: str) -> None:
    """A body part is found among other words, in each of the languages."""
    assert body_part_in_text(text) == {**LANGUAGES, **PROTOCOLS}[text]


@pytest.mark.parametrize("text", PROTOCOLS)
def test_a_value_is_understood_as_a_description_is(text: str) -> None:
    """A description in Body Part Examined is understood like any description."""
    assert normalize("BodyPartExamined", text) == PROTOCOLS[text]


@pytest.mark.parametrize("text", SILENT)
def test_what_is_ambiguous_says_nothing(text: str) -> None:
    """Ambiguous text gives no body part."""
    assert body_part_in_text(text) is None


@pytest.mark.parametrize(
    ("text", "part"), [("BODY", "WHOLEBODY"), ("LE", "LOWERLIMB"), ("Main", "HAND")]
)
def test_an_ambiguous_word_counts_as_a_value_of_its_own(text: str, part: str) -> None:
    """A word that is ambiguous in a sentence is clear as the whole value."""
    assert normalize("BodyPartExamined", text) == part


@given(st.text(max_size=200))
def test_any_text_is_a_known_part_or_nothing(text: str) -> None:
    """The result is always a term of the table or None, never a part of the text."""
    assert body_part_in_text(text) is None or body_part_in_text(text) in PARTS


def test_an_endless_text_is_read_to_a_limit() -> None:
    """Only the first words of a text of 16 kB are read."""
    assert body_part_in_text("x " * 8192 + "KNEE") is None
    assert body_part_in_text("KNEE " + "x " * 8192) == "KNEE"
