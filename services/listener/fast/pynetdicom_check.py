"""Check that the installed pynetdicom has the internals that fast reception uses."""

import inspect

import pynetdicom
from pynetdicom import AE
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider

_VERSION = "3.0."


def missing_internal() -> str | None:
    """Return what is missing from pynetdicom for fast reception, None if nothing is."""
    if not pynetdicom.__version__.startswith(_VERSION):
        return f"pynetdicom {pynetdicom.__version__} is not {_VERSION}x"
    # `FastUpperLayer` relies on the order of calls within these methods, not only on names.
    source = inspect.getsource(DULServiceProvider)
    for name in ("_read_pdu_data()", "_is_transport_event()", '"Evt17"', '"Evt19"'):
        if name not in source:
            return f"pynetdicom's upper layer does not use {name}"
    association = Association(AE(), MODE_ACCEPTOR)
    for owner, names in (
        (association, ("_accepted_cx", "dimse", "requestor", "is_established")),
        (association.dul, ("state_machine", "event_queue", "_idle_timer")),
        (association.dimse, ("message", "msg_queue")),
        (association.dul.state_machine, ("current_state",)),
    ):
        missing = [name for name in names if not hasattr(owner, name)]
        if missing:
            return f"pynetdicom's {type(owner).__name__} has no {missing[0]}"
    return None
