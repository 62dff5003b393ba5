"""Views of exactly one body part (PS3.3 C.8.11.5, PS3.16 CID 4010, 4014)."""

from veritag.terms.spelling import squeeze

_VIEWS = {
    "BREAST": "MLO LMO CC XCC XCCL XCCM FB SIO RMLO LMLO RCC LCC",
    "SKULL": "TOWNE TOWNES CALDWELL SMV SUBMENTOVERTICAL",
    "SINUS": "WATERS WATER",
    "MASTOID": "SCHULLER SCHUELLER STENVERS",
    "JAW": "BITEWING PERIAPICAL OCCLUSAL PANORAMIC",
    "CSPINE": "ODONTOID OPENMOUTH DENS SWIMMERS SWIMMER",
    "HIP": "FROGLEG FROG LAUENSTEIN",
    "PATELLA": "SUNRISE SKYLINE MERCHANT",
    "KNEE": "ROSENBERG TUNNEL",
    "ANKLE": "MORTISE",
    "FOOT": "DORSOPLANTAR PLANTODORSAL",
    "SHOULDER": "GRASHEY",
}
"""Body part to values of ViewPosition; views of several parts (AP, ML) are left out."""

_CODES = {
    "BREAST": """R-10226 399368009 R-10242 399162004 R-1024A 399192008 R-1024B 399101009
        R-102D0 399188001 R-40AAA 441555000""",
    "SKULL": "R-10256 399255003 R-10257 399360002",
    "JAW": "R-40810 260499007",
    "FOOT": "R-102C3 399071006 R-102C4 399335002",
}

_PART_OF = {view: part for part, views in _VIEWS.items() for view in views.split()}
_PART_OF_CODE = {code: part for part, codes in _CODES.items() for code in codes.split()}


def body_part_of_view(view: str) -> str | None:
    """Return the one body part that a view shows, None where it fits several."""
    return _PART_OF.get(squeeze(view))


def body_part_of_view_code(code: str) -> str | None:
    """Return the one body part that a coded view shows, see `body_part_of_view`."""
    return _PART_OF_CODE.get(code)
