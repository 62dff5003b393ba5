"""The command of a C-STORE-RQ (PS3.7 section 9.3.1.1), as far as it can be used.

pynetdicom aborts the association over a single value that it cannot use, and all that
the sender had left to send is lost. Only the one instance is to be refused.
"""

from pydicom.dataset import Dataset

from veritag.dicom.elements import is_uid

_SOP_CLASS_UID = 0x00000002
_SOP_INSTANCE_UID = 0x00001000
# Without these nothing could be told apart or answered.
_COMMAND_FIELD, _MESSAGE_ID, _DATA_SET_TYPE = 0x00000100, 0x00000110, 0x00000800
_NEEDED = {_COMMAND_FIELD, _MESSAGE_ID, _DATA_SET_TYPE}


def keep_usable(command_set: Dataset) -> None:
    """Remove UIDs that are none and what reception has no use for, as Priority."""
    usable = _NEEDED | {
        tag
        for tag in (_SOP_CLASS_UID, _SOP_INSTANCE_UID)
        if tag in command_set and is_uid(_text(command_set, tag))
    }
    for tag in list(command_set.keys()):
        if tag not in usable:
            del command_set[tag]


def _text(command_set: Dataset, tag: int) -> str:
    """Return a value without the checks, and the warnings, of pydicom."""
    value: bytes | str = command_set.get_item(tag).value or b""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    return text.rstrip(" \0")
