"""Inspection of instances: each effect happens once, also if the process dies.

An attempt is recorded before an instance is touched, which could end the process. The
instances of a batch that ended a process are inspected one by one, and one that ends it
again and again becomes a dead letter; the others get their verdicts.
"""

import faulthandler
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from veritag.errors import ArchiveUnavailable, describe_error
from veritag.findings import Verdict
from veritag.process.logs import get_logger
from veritag.process.metrics import (
    DEAD_LETTERED,
    INSPECTED,
    INSPECTION_SECONDS,
    STAGE_SECONDS,
    modality_label,
)
from veritag.records.inspection.attempts import (
    PendingInstance,
    abandon_attempt,
    begin_attempt,
)
from veritag.records.inspection.dead_letters import add_dead_letter
from veritag.records.inspection.verdicts import store_verdicts
from veritag.storage.archive import Archive
from worker.context import Context
from worker.inference import Model
from worker.pipeline import Inspected

log = get_logger()

# Longest time until a verdict is stored: a transaction costs as much as several
# inspections, and a worker that dies loses what it has not stored.
STORE_SECONDS = 0.25

# Instances of each series in a batch whose identity is read.
_IDENTIFIED = 2

# Longest time of one instance. A decoder that never ends cannot be stopped from Python:
# the process ends itself, and its attempt is on the records.
INSTANCE_SECONDS = 120.0


def inspect_pending(
    context: Context, model: Model, instances: Sequence[PendingInstance]
) -> None:
    """Inspect instances until all are done or the process shall end.

    Raises
    ------
    RetryableError
        If archive or records are unavailable; what is left is published again.
    """
    for batch in _batches(instances, context.settings.max_attempts):
        if context.stopping.is_set():
            # The rest was not begun: the scheduler publishes it again.
            log.info(
                "message_interrupted",
                instance_ids=[one.instance_id for one in instances],
            )
            return
        _inspect_batch(context, model, batch)


def inspect_again(
    context: Context, model: Model, instances: Sequence[PendingInstance]
) -> None:
    """Inspect instances again that have a verdict of another bundle.

    No attempts are counted: these instances could be inspected before. One that fails
    keeps the verdict that it has.
    """
    _require_archive(context.archive)
    for outcomes in _run(context, model, instances):
        _store(context, [o for o in outcomes if o.verdict is not None])


def _batches(
    instances: Sequence[PendingInstance], max_attempts: int
) -> Iterator[list[PendingInstance]]:
    """Yield new instances together, and each that was tried before on its own.

    An instance that ends the process costs the others their first attempt only.
    """
    new = [one for one in instances if one.attempts == 0 and max_attempts > 1]
    if new:
        yield new
    yield from ([one] for one in instances if one not in new)


def _inspect_batch(
    context: Context, model: Model, batch: Sequence[PendingInstance]
) -> None:
    _require_archive(context.archive)
    if batch[0].attempts >= context.settings.max_attempts:
        _give_up(context, batch[0], _ended_process(batch[0].attempts))
        return
    ids = [one.instance_id for one in batch]
    context.retry(lambda: begin_attempt(context.records, ids, context.name))
    for outcomes in _run(context, model, batch):
        _store(context, [o for o in outcomes if o.verdict is not None])
        for outcome in outcomes:
            if outcome.error is not None:
                _fail(context, outcome.key, outcome.error)


def _ended_process(attempts: int) -> str:
    return f"the worker process ended {attempts} times while inspecting it"


def _require_archive(archive: Archive) -> None:
    """Stop before an attempt is counted if no instance can be read at all."""
    if not archive.root.is_dir():
        raise ArchiveUnavailable(f"the archive {archive.root} is not there")


def _run(
    context: Context, model: Model, batch: Sequence[PendingInstance]
) -> Iterator[list[Inspected[PendingInstance]]]:
    """Yield the outcomes, those of a quarter of a second together.

    When the process shall end, instances that were begun are finished, and no more are
    begun.
    """
    files = (
        (one, context.archive.path(one.archive_key))
        for one in batch
        if not context.stopping.is_set()
    )
    outcomes: list[Inspected[PendingInstance]] = []
    since = _watch()
    try:
        for outcome in context.pipeline.run(
            model, files, _first_of_series(), lambda one: one.received_at
        ):
            outcomes.append(outcome)
            if time.monotonic() - since >= STORE_SECONDS:
                since = _watch()
                yield outcomes
                outcomes = []
        yield outcomes
    finally:
        faulthandler.cancel_dump_traceback_later()


def _watch() -> float:
    """Set the time limit of the next instances; return the present moment."""
    faulthandler.dump_traceback_later(INSTANCE_SECONDS, exit=True)
    return time.monotonic()


def _first_of_series() -> Callable[[PendingInstance], bool]:
    """Return a function that tells whether an instance is among the first of its series.

    All instances of a series have one identity; a second one is read in case that the
    first is unreadable.
    """
    counts: Counter[int | None] = Counter()

    def is_first(one: PendingInstance) -> bool:
        counts[one.series_id] += 1
        return counts[one.series_id] <= _IDENTIFIED

    return is_first


def _store(context: Context, inspected: Sequence[Inspected[PendingInstance]]) -> None:
    if not inspected:
        return
    started = time.perf_counter()
    verdicts = [(o.key.instance_id, _complete(o)) for o in inspected]
    identities = {
        o.key.instance_id: o.prepared.identity
        for o in inspected
        if o.prepared is not None and o.prepared.identity is not None
    }
    context.retry(lambda: store_verdicts(context.records, verdicts, identities))
    STAGE_SECONDS.labels("store").observe(time.perf_counter() - started)
    now = datetime.now(UTC)
    for outcome, (_, verdict) in zip(inspected, verdicts, strict=True):
        modality = verdict.tags.get("Modality")
        label = modality_label(modality if isinstance(modality, str) else None)
        INSPECTED.labels(verdict.status.value, label).inc()
        INSPECTION_SECONDS.observe((now - outcome.key.received_at).total_seconds())
    log.info("instances_inspected", instance_ids=[id_ for id_, _ in verdicts])


def _complete(outcome: Inspected[PendingInstance]) -> Verdict:
    """Return the verdict, with the negotiated SOP class where the file has none."""
    verdict = outcome.verdict
    assert verdict is not None  # noqa: S101 -- the caller has checked it
    if verdict.sop_class_uid:
        return verdict
    return replace(verdict, sop_class_uid=outcome.key.sop_class_uid)


def _fail(context: Context, one: PendingInstance, error: Exception) -> None:
    """Record a failed attempt; give the instance up after the last one."""
    ids, attempt, reason = [one.instance_id], one.attempts + 1, describe_error(error)
    log.warning(
        "inspection_failed",
        instance_id=one.instance_id,
        attempt=attempt,
        reason=reason,
    )
    context.retry(lambda: abandon_attempt(context.records, ids, reason))
    if attempt >= context.settings.max_attempts:
        _give_up(context, one, f"inspection failed {attempt} times: {reason}")


def _give_up(context: Context, one: PendingInstance, reason: str) -> None:
    context.retry(lambda: add_dead_letter(context.records, one.instance_id, reason))
    DEAD_LETTERED.inc()
    log.error("dead_letter", instance_id=one.instance_id, attempts=one.attempts)
