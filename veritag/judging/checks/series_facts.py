"""What instances of a series must have in common, and what sets one of them apart."""

from hashlib import blake2b

from pydicom import Dataset

from veritag.judging.checks.header import Header

_HASHED = ("StudyInstanceUID", "PatientID", "FrameOfReferenceUID")
_SIDES = frozenset("LR")
_LOCALIZER = "LOCALIZER"


def series_facts(ds: Dataset) -> dict[str, str]:
    """Return what is compared within a series, keyword to value.

    Identifiers are hashed with the Series Instance UID as the key: they can be compared
    within the series and say nothing outside of it. Absent ones are left out, all of
    them where there is no such UID. Of Image Type only localizers are told.
    """
    header = Header(ds)
    facts = _identifiers(header)
    side = header.value("Laterality")
    if side in _SIDES:
        facts["Laterality"] = side
    # PS3.3 C.8.2.1.1.1, C.8.3.1.1.1, C.8.16.1: value 3; other words may be anybody's.
    if header.values("ImageType")[2:3] == [_LOCALIZER]:
        facts["ImageType"] = _LOCALIZER
    return facts


def _identifiers(header: Header) -> dict[str, str]:
    key = header.value("SeriesInstanceUID")
    if not key:
        # Without a key every Patient ID could be tried out.
        return {}
    return {
        name: _hash(value, key) for name in _HASHED if (value := header.value(name))
    }


def _hash(value: str, key: str) -> str:
    # The key of BLAKE2 has at most 64 bytes (RFC 7693); a UID is no longer than that.
    secret = key.encode("utf-8", "replace")[:64]
    return blake2b(
        value.encode("utf-8", "replace"), digest_size=8, key=secret
    ).hexdigest()
