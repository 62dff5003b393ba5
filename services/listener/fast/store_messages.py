"""C-STORE-RQ and C-STORE-RSP as bytes (PS3.7 sections 6.3.1, 9.3.1).

Command sets are Implicit VR Little Endian and have a dozen short elements. Decoding them
into Data Sets takes longer than storing a small image.
"""

import struct

from services.listener.store_rules import StoreRequest
from veritag.dicom.elements import is_uid

_ELEMENT = struct.Struct("<HHL")
_SHORT = struct.Struct("<H")
_SOP_CLASS_UID, _COMMAND_FIELD, _MESSAGE_ID = 0x0002, 0x0100, 0x0110
_REPLY_TO, _DATA_SET_TYPE, _STATUS = 0x0120, 0x0800, 0x0900
_ERROR_COMMENT, _SOP_INSTANCE_UID = 0x0902, 0x1000
_C_STORE_RQ, _C_STORE_RSP = 0x0001, 0x8001
_NO_DATA_SET = 0x0101


def read_request(command: bytes | bytearray) -> StoreRequest | None:
    """Return the request of a plain C-STORE-RQ with a Data Set.

    None for any other command, and for an unusual or damaged one, which pynetdicom then
    handles.
    """
    elements = _elements(command)
    if elements is None or _number(elements, _COMMAND_FIELD) != _C_STORE_RQ:
        return None
    message_id = _number(elements, _MESSAGE_ID)
    has_data_set = _number(elements, _DATA_SET_TYPE) not in (None, _NO_DATA_SET)
    if message_id is None or not has_data_set:
        return None
    return StoreRequest(
        message_id, _uid(elements, _SOP_CLASS_UID), _uid(elements, _SOP_INSTANCE_UID)
    )


def _elements(command: bytes | bytearray) -> dict[int, bytes] | None:
    elements: dict[int, bytes] = {}
    position, end = 0, len(command)
    while position < end:
        if end - position < _ELEMENT.size:
            return None
        group, element, length = _ELEMENT.unpack_from(command, position)
        start = position + _ELEMENT.size
        position = start + length
        # In ascending order (PS3.7 section 6.3.1), so each once.
        if (
            group
            or position > end
            or (elements and element <= next(reversed(elements)))
        ):
            return None
        elements[element] = bytes(command[start:position])
    return elements


def _number(elements: dict[int, bytes], element: int) -> int | None:
    value = elements.get(element, b"")
    return _SHORT.unpack(value)[0] if len(value) == _SHORT.size else None


def _uid(elements: dict[int, bytes], element: int) -> str:
    text = elements.get(element, b"").decode("latin-1").rstrip(" \0")
    return text if is_uid(text) else ""


def encode_response(request: StoreRequest, status: int, comment: str = "") -> bytes:
    """Return the command set of the C-STORE-RSP (PS3.7 table 9.3-2)."""
    body = b"".join(
        (
            _text(_SOP_CLASS_UID, request.sop_class_uid, b"\0"),
            _us(_COMMAND_FIELD, _C_STORE_RSP),
            _us(_REPLY_TO, request.message_id),
            _us(_DATA_SET_TYPE, _NO_DATA_SET),
            _us(_STATUS, status),
            _text(_ERROR_COMMENT, comment, b" "),
            _text(_SOP_INSTANCE_UID, request.sop_instance_uid, b"\0"),
        )
    )
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<L", len(body)) + body


def _us(element: int, value: int) -> bytes:
    return _ELEMENT.pack(0, element, _SHORT.size) + _SHORT.pack(value)


def _text(element: int, value: str, padding: bytes) -> bytes:
    if not value:
        return b""
    encoded = value.encode("ascii", errors="replace")
    encoded += padding * (len(encoded) % 2)
    return _ELEMENT.pack(0, element, len(encoded)) + encoded
