"""The states and kinds that the records store as words."""

from enum import StrEnum


class ReceptionKind(StrEnum):
    """Kind of a reception, compared with earlier ones."""

    NEW = "new"
    IDENTICAL = "identical"
    """Its SOP Instance UID is known, with the same bytes."""
    CONFLICT = "conflict"
    """Its SOP Instance UID is known, with other bytes."""


class SettleReason(StrEnum):
    """Why a series was judged."""

    IDLE = "idle"
    """Nothing arrived for a while."""
    CAP = "cap"
    """It was open for the longest time allowed."""


class ForwardState(StrEnum):
    """How far an instance is on its way to one destination."""

    WAITING = "waiting"
    SENT = "sent"
    SKIPPED = "skipped"
    """The filter of the destination leaves it out."""
    PARKED = "parked"
    """The destination refuses it; it waits for a person."""


class CommitmentState(StrEnum):
    """How far a request of storage commitment is."""

    WAITING = "waiting"
    REPORTED = "reported"
    FAILED = "failed"
    """The requestor did not accept the report; it is given up."""


class RunStatus(StrEnum):
    """How far a training run is."""

    REQUESTED = "requested"
    RUNNING = "running"
    FINISHED = "finished"
    """It made a bundle."""
    FAILED = "failed"


class RunTrigger(StrEnum):
    """Trigger of a training run."""

    TIME = "time"
    NEED = "need"
    HAND = "hand"


class GateOutcome(StrEnum):
    """Decision of the gate on the bundle of a training run."""

    PROMOTED = "promoted"
    """The challenger is in use."""
    KEPT = "kept"
    """The champion stays because of the figures."""
    UNDECIDED = "undecided"
    """The champion stays because there are too few decisions to compare them on."""


class WorklistState(StrEnum):
    """Which studies the worklist shows."""

    OPEN = "open"
    """With a finding that waits for a decision."""
    DECIDED = "decided"
    """With findings, all of them decided."""
    ALL = "all"


class FindingState(StrEnum):
    """How far the review of a finding is."""

    OPEN = "open"
    DECIDED = "decided"
    WITHDRAWN = "withdrawn"
    """A later settling of its series no longer made it."""
