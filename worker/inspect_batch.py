"""Inspecting instances so that each effect happens once, whatever dies in between.

An attempt is on the records before anything is touched that could end the process. A
batch that ended one is inspected one by one, and what ends the process again and
again becomes a dead letter; its companions go on.
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

# Verdicts are stored at the latest so long after they were made: a transaction costs
# as much as several inspections, and a dying worker takes along what it holds.
STORE_SECONDS = 0.25

# Instances of a series whose identity is read in a batch.
_IDENTIFIED = 2

# One instance may take this long. Longer is a decoder that never ends, which nothing
# in Python can stop: the process ends itself, and its attempt is on the records.
INSTANCE_SECONDS = 120.0


def inspect_pending(
    context: Context, model: Model, found: Sequence[PendingInstance]
) -> None:
    """Inspect instances until all are done or the process shall end.

    Raises
    ------
    RetryableError
        If archive or records are away; what is left is published again.
    """
    for batch in _batches(found, context.settings.max_attempts):
        if context.stopping.is_set():
            # What is left was not begun: the sweeper publishes it again.
            log.info("message_left", instance_ids=[one.instance_id for one in found])
            return
        _inspect_batch(context, model, batch)


def inspect_again(
    context: Context, model: Model, found: Sequence[PendingInstance]
) -> None:
    """Inspect, by the bundle in use, what has a verdict of another one already.

    No attempts are counted: these instances have shown that they can be inspected.
    What fails all the same keeps the verdict that it has.
    """
    _require_archive(context.archive)
    for outcomes in _run(context, model, found):
        _store(context, [o for o in outcomes if o.verdict is not None])


def _batches(
    found: Sequence[PendingInstance], max_attempts: int
) -> Iterator[list[PendingInstance]]:
    """Yield fresh instances together and each that was tried before on its own.

    An instance that ends the process takes its companions' first attempt with it, and
    nothing more.
    """
    together = [one for one in found if one.attempts == 0 and max_attempts > 1]
    if together:
        yield together
    yield from ([one] for one in found if one not in together)


def _inspect_batch(
    context: Context, model: Model, batch: Sequence[PendingInstance]
) -> None:
    _require_archive(context.archive)
    if batch[0].attempts >= context.settings.max_attempts:
        _give_up(context, batch[0], _ended_process(batch[0].attempts))
        return
    ids = [one.instance_id for one in batch]
    context.patiently(lambda: begin_attempt(context.records, ids, context.name))
    for outcomes in _run(context, model, batch):
        _store(context, [o for o in outcomes if o.verdict is not None])
        for outcome in outcomes:
            if outcome.error is not None:
                _fail(context, outcome.key, outcome.error)


def _ended_process(attempts: int) -> str:
    return f"the worker process ended {attempts} times while inspecting it"


def _require_archive(archive: Archive) -> None:
    """Stop before an attempt is counted where no instance could be read at all."""
    if not archive.root.is_dir():
        raise ArchiveUnavailable(f"the archive {archive.root} is not there")


def _run(
    context: Context, model: Model, batch: Sequence[PendingInstance]
) -> Iterator[list[Inspected[PendingInstance]]]:
    """Yield outcomes as many together as come within a moment.

    When the process shall end, what was begun is finished and no more is begun.
    """
    files = (
        (one, context.archive.path(one.archive_key))
        for one in batch
        if not context.stopping.is_set()
    )
    held: list[Inspected[PendingInstance]] = []
    since = _watch()
    try:
        for outcome in context.pipeline.run(
            model, files, _first_of_series(), lambda one: one.received_at
        ):
            held.append(outcome)
            if time.monotonic() - since >= STORE_SECONDS:
                since = _watch()
                yield held
                held = []
        yield held
    finally:
        faulthandler.cancel_dump_traceback_later()


def _watch() -> float:
    """Set the time that the next instances may take; return the moment."""
    faulthandler.dump_traceback_later(INSTANCE_SECONDS, exit=True)
    return time.monotonic()


def _first_of_series() -> Callable[[PendingInstance], bool]:
    """Return whom to ask whether an instance is among the first of its series.

    All instances of a series name it alike; one would do, if it is readable.
    """
    seen: Counter[int | None] = Counter()

    def ask(one: PendingInstance) -> bool:
        seen[one.series_id] += 1
        return seen[one.series_id] <= _IDENTIFIED

    return ask


def _store(context: Context, done: Sequence[Inspected[PendingInstance]]) -> None:
    if not done:
        return
    started = time.perf_counter()
    verdicts = [(o.key.instance_id, _complete(o)) for o in done]
    identities = {
        o.key.instance_id: o.prepared.identity
        for o in done
        if o.prepared is not None and o.prepared.identity is not None
    }
    context.patiently(lambda: store_verdicts(context.records, verdicts, identities))
    STAGE_SECONDS.labels("store").observe(time.perf_counter() - started)
    now = datetime.now(UTC)
    for outcome, (_, verdict) in zip(done, verdicts, strict=True):
        modality = verdict.tags.get("Modality")
        label = modality_label(modality if isinstance(modality, str) else None)
        INSPECTED.labels(verdict.status.value, label).inc()
        INSPECTION_SECONDS.observe((now - outcome.key.received_at).total_seconds())
    log.info("instances_inspected", instance_ids=[id_ for id_, _ in verdicts])


def _complete(outcome: Inspected[PendingInstance]) -> Verdict:
    """Name the SOP class that was negotiated where the file does not tell its own."""
    verdict = outcome.verdict
    assert verdict is not None  # noqa: S101 -- the caller has looked
    if verdict.sop_class_uid:
        return verdict
    return replace(verdict, sop_class_uid=outcome.key.sop_class_uid)


def _fail(context: Context, one: PendingInstance, error: Exception) -> None:
    """Leave an instance for another attempt, or give it up after the last one."""
    ids, attempt, reason = [one.instance_id], one.attempts + 1, describe_error(error)
    log.warning(
        "inspection_failed",
        instance_id=one.instance_id,
        attempt=attempt,
        error=reason,
    )
    context.patiently(lambda: abandon_attempt(context.records, ids, reason))
    if attempt >= context.settings.max_attempts:
        _give_up(context, one, f"inspection failed {attempt} times: {reason}")


def _give_up(context: Context, one: PendingInstance, reason: str) -> None:
    context.patiently(lambda: add_dead_letter(context.records, one.instance_id, reason))
    DEAD_LETTERED.inc()
    log.error("dead_letter", instance_id=one.instance_id, attempts=one.attempts)
