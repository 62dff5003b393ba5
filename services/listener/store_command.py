"""Usable elements of the command of a C-STORE-RQ (PS3.7 section 9.3.1.1).

pynetdicom aborts the association for a single unusable value, and the sender's further
instances are lost. Without such values only the one instance is refused.
"""

from pydicom.dataset import Dataset

from veritag.dicom.elements import is_uid

_SOP_CLASS_UID = 0x00000002
_SOP_INSTANCE_UID = 0x00001000
# Without these a message cannot be recognised or answered.
_COMMAND_FIELD, _MESSAGE_ID, _DATA_SET_TYPE = 0x00000100, 0x00000110, 0x00000800
_REQUIRED = {_COMMAND_FIELD, _MESSAGE_ID, _DATA_SET_TYPE}


def remove_unusable_elements(command_set: Dataset) -> None:
    """Remove invalid UIDs, and elements that reception does not use, such as Priority."""
    usable = _REQUIRED | {
        tag
        for tag in (_SOP_CLASS_UID, _SOP_INSTANCE_UID)
        if tag in command_set and is_uid(_text(command_set, tag))
    }
    for tag in list(command_set.keys()):
        if tag not in usable:
            del command_set[tag]


def _text(command_set: Dataset, tag: int) -> str:
    """Return a value without the checks and warnings of pydicom."""
    value: bytes | str = command_set.get_item(tag).value or b""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    return text.rstrip(" \0")
