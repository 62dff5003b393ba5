"""Errors of Veritag: the name states the fact, the base class what the caller does."""

import traceback


class VeritagError(Exception):
    """Base of all errors of Veritag."""


class RetryableError(VeritagError):
    """An external part is unavailable: repeat the same call later."""


class RecordsUnavailable(RetryableError):
    """The database does not answer."""


class BrokerUnavailable(RetryableError):
    """The message broker does not answer."""


class ArchiveUnavailable(RetryableError):
    """The archive could not be read or written."""


class DecoderUnavailable(RetryableError):
    """The decoding process does not start."""


class RejectError(VeritagError):
    """One object cannot be used: record why, do not retry, continue with the others."""


class UnusableInstance(RejectError):
    """An instance cannot be read or decoded."""


class OutOfMemory(UnusableInstance):
    """An instance needs more memory than its limit."""


class DecodingEnded(RejectError):
    """The decoding process of an instance was ended, or crashed.

    Attributes
    ----------
    limit
        Reason: `time`, `memory` or `crash`.
    """

    def __init__(self, reason: str, limit: str = "crash") -> None:
        super().__init__(reason, limit)
        self.reason = reason
        self.limit = limit

    def __str__(self) -> str:
        return self.reason


class NoPixels(RejectError):
    """An instance has no pixel data: a report, a plan, a waveform."""


class StopError(VeritagError):
    """The process cannot work: stop it and tell the operator what to change."""


class ConfigurationError(StopError):
    """A setting is wrong or missing."""


class BundleRejected(StopError):
    """A bundle does not match its seal, its schema or the preprocessing of this version."""


class MissingPart(StopError):
    """A program or an optional package that this command needs is not installed."""


def describe_error(error: BaseException) -> str:
    """Return an error as text without patient data.

    The message of an error of another library may quote the Data Set: type and place of
    the error replace it.
    """
    if isinstance(error, VeritagError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    return f"unexpected {type(error).__name__}{where}"
