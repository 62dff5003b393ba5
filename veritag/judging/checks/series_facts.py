"""Facts of an instance that are compared within its series."""

from hashlib import blake2b

from pydicom import Dataset

from veritag.judging.checks.header import Header

_HASHED = ("StudyInstanceUID", "PatientID", "FrameOfReferenceUID")
_SIDES = frozenset("LR")
_LOCALIZER = "LOCALIZER"


def series_facts(ds: Dataset) -> dict[str, str]:
    """Return the facts that are compared within a series, keyword to value.

    Identifiers are hashed with the Series Instance UID as the key: they can be compared
    within the series only. Absent ones are left out; without that UID, all of them. Of
    Image Type only LOCALIZER is kept.
    """
    header = Header(ds)
    facts = _identifiers(header)
    side = header.value("Laterality")
    if side in _SIDES:
        facts["Laterality"] = side
    # Value 3 (PS3.3 C.8.2.1.1.1, C.8.3.1.1.1, C.8.16.1); other words may be a name.
    if header.values("ImageType")[2:3] == [_LOCALIZER]:
        facts["ImageType"] = _LOCALIZER
    return facts


def _identifiers(header: Header) -> dict[str, str]:
    key = header.value("SeriesInstanceUID")
    if not key:
        # An unkeyed hash of a Patient ID can be reversed by trying all IDs.
        return {}
    return {
        name: _hash(value, key) for name in _HASHED if (value := header.value(name))
    }


def _hash(value: str, key: str) -> str:
    # The key of BLAKE2 has at most 64 bytes (RFC 7693), as many as a UID.
    secret = key.encode("utf-8", "replace")[:64]
    return blake2b(
        value.encode("utf-8", "replace"), digest_size=8, key=secret
    ).hexdigest()
