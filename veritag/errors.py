"""Every error of Veritag, named by the fact; its base says what the caller must do."""

import traceback


class VeritagError(Exception):
    """Base of all errors of Veritag."""


class RetryableError(VeritagError):
    """Something outside is unavailable for now: try the same again later."""


class RecordsUnavailable(RetryableError):
    """The database does not answer."""


class BrokerUnavailable(RetryableError):
    """The message broker does not answer."""


class ArchiveUnavailable(RetryableError):
    """The archive could not be read or written."""


class DecoderUnavailable(RetryableError):
    """The process that decodes does not start."""


class RejectError(VeritagError):
    """This one object cannot be used: record why, never retry, go on with the rest."""


class UnusableInstance(RejectError):
    """An instance that cannot be read or decoded, with the reason."""


class OutOfMemory(UnusableInstance):
    """An instance that needs more memory than it may have."""


class DecodingEnded(RejectError):
    """The process that read an instance was ended, or ended itself.

    Attributes
    ----------
    limit
        What it overstepped: `time`, `memory` or `crash`.
    """

    def __init__(self, reason: str, limit: str = "crash") -> None:
        super().__init__(reason, limit)
        self.reason = reason
        self.limit = limit

    def __str__(self) -> str:
        return self.reason


class NoPixels(RejectError):
    """An instance that holds no picture (a report, a plan, a waveform)."""


class StopError(VeritagError):
    """The process cannot do its work: stop, tell the operator what to change."""


class ConfigurationError(StopError):
    """A setting is wrong or missing."""


class BundleRejected(StopError):
    """A bundle does not match its seal, its schema or this version's preprocessing."""


class MissingPart(StopError):
    """A program or an optional package that this command needs is not installed."""


def in_words(error: BaseException) -> str:
    """Return what went wrong; the text of a foreign error may quote the Data Set."""
    if isinstance(error, VeritagError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    return f"unexpected {type(error).__name__}{where}"
