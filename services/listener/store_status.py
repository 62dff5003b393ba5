"""The statuses of C-STORE responses, each with its table and our use of it.

None is a warning: an error in the metadata of an instance becomes a finding in the
worklist, and is no reason for a modality to raise an alarm.
"""

from dataclasses import dataclass

from veritag.errors import RejectError


@dataclass(frozen=True, slots=True)
class Status:
    """A DIMSE status.

    Attributes
    ----------
    reason
        Label of `veritag_instances_refused_total`; empty for success.
    """

    code: int
    reason: str = ""


# PS3.4 Table B.2-1, "Success": the instance is on disk and survives a power cut.
SUCCESS = Status(0x0000)

# PS3.4 Table B.2-1, "Refused: Out of Resources" (A7xx): the disk's reserve is reached,
# or the spool could not be written. The sender should try again later.
OUT_OF_RESOURCES = Status(0xA700, "out_of_resources")

# PS3.4 Table B.2-1, "Error: Data Set does not match SOP Class" (A9xx): the SOP Class or
# the SOP Instance UID in the Data Set differs from that of the command.
MISMATCH = Status(0xA900, "mismatch")

# PS3.4 Table B.2-1, "Error: Cannot understand" (Cxxx): the beginning of the Data Set
# cannot be read, or it lacks a usable SOP Class or SOP Instance UID.
NOT_UNDERSTOOD = Status(0xC000, "not_understood")

# PS3.7 section C.5.6, "SOP class not supported": the command names another SOP Class
# than its presentation context, or no valid one.
CLASS_NOT_SUPPORTED = Status(0x0122, "class_not_supported")

# PS3.7 section C.5.17, "Refused: not authorized": the calling AE title is not on the list.
# The association is rejected before; this is a second check.
NOT_AUTHORIZED = Status(0x0124, "not_authorized")

REASONS = tuple(
    status.reason
    for status in (
        OUT_OF_RESOURCES,
        MISMATCH,
        NOT_UNDERSTOOD,
        CLASS_NOT_SUPPORTED,
        NOT_AUTHORIZED,
    )
)


class StoreRefused(RejectError):
    """An instance that is answered with a failure status.

    Parameters
    ----------
    comment
        Error Comment (0000,0902) for the sender, without patient data.
    """

    def __init__(self, status: Status, comment: str) -> None:
        super().__init__(comment)
        self.status = status
        # PS3.7 table C-1: LO, so 64 characters at most.
        self.comment = comment[:64]
