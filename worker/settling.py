"""Judging of a settled series."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from veritag.findings import Finding
from veritag.judging.judge import judge_series
from veritag.process.logs import get_logger
from veritag.process.metrics import FINDINGS, SERIES_SETTLED, modality_label
from veritag.records.inspection.attempts import pending_instances
from veritag.records.inspection.series_snapshot import SeriesSnapshot, series_snapshot
from veritag.records.inspection.settling import settle
from veritag.records.states import SettleReason
from worker.context import Context
from worker.inference import Model
from worker.inspect_batch import inspect_again

log = get_logger()


def settle_one(context: Context, model: Model, series_id: int) -> None:
    """Judge one series by the bundle in use and store its findings.

    Instances that an older bundle inspected are inspected again first, so that the
    whole judgement is of one bundle.
    """
    snapshot = _snapshot(context, model, series_id)
    if snapshot is not None and snapshot.missing:
        ids = snapshot.missing
        instances = context.retry(
            lambda: pending_instances(context.records, ids, again=True)
        )
        inspect_again(context, model, instances)
        # Read again, with the new verdicts.
        snapshot = _snapshot(context, model, series_id)
    if snapshot is not None and snapshot.verdicts and not context.stopping.is_set():
        _judge(context, model, snapshot)


def _snapshot(context: Context, model: Model, series_id: int) -> SeriesSnapshot | None:
    bundle_id = model.bundle.bundle_id
    return context.retry(lambda: series_snapshot(context.records, series_id, bundle_id))


def _judge(context: Context, model: Model, snapshot: SeriesSnapshot) -> None:
    bundle = model.bundle
    judgement = judge_series(
        bundle.manifest,
        snapshot.verdicts,
        conflicts=snapshot.conflicts,
        studies=snapshot.studies,
        siblings=snapshot.siblings,
    )
    reason = _reason(snapshot, context.settings.settle_idle_seconds)
    opened = context.retry(
        lambda: settle(
            context.records,
            snapshot,
            judgement,
            bundle.bundle_id,
            reason,
            budget_per_1000=context.settings.review_budget_per_1000,
            # Instances that could not be inspected again are gone: their findings stay.
            withdraw=not snapshot.missing,
        )
    )
    _count(snapshot, reason, opened)
    log.info(
        "series_settled",
        series_id=snapshot.series_id,
        reason=reason,
        instances=snapshot.instances,
        findings=[finding.code.value for finding in judgement.findings],
        opened=len(opened),
        bundle_id=bundle.bundle_id,
    )


def _count(
    snapshot: SeriesSnapshot, reason: SettleReason, opened: Sequence[Finding]
) -> None:
    """Count the series and its new findings in the metrics."""
    SERIES_SETTLED.labels(reason).inc()
    modality = modality_label(snapshot.modality)
    for finding in opened:
        FINDINGS.labels(finding.code.value, modality).inc()


def _reason(snapshot: SeriesSnapshot, idle_seconds: float) -> SettleReason:
    idle = datetime.now(UTC) - snapshot.last_received_at
    return (
        SettleReason.IDLE
        if idle >= timedelta(seconds=idle_seconds)
        else SettleReason.CAP
    )
