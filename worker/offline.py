"""`veritag inspect`: inspection and judging of files, without any service."""

import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from veritag.bundles.bundle import load_bundle, resolve_bundle_path
from veritag.bundles.manifest import BundleManifest
from veritag.errors import describe_error
from veritag.findings import SeriesJudgement, TagValue, Verdict, VerdictStatus
from veritag.judging.judge import judge_series
from veritag.judging.observed_tags import observe
from veritag.pixels.decoding_process import DecodingLimits
from veritag.settings import Settings
from worker.inference import Model
from worker.inspect_report import print_report
from worker.pipeline import Inspected, Pipeline
from worker.preparation import Prepared


@dataclass
class OfflineSeries:
    """The instances of one series among the files, and their Study Instance UIDs."""

    series_instance_uid: str | None
    verdicts: list[Verdict] = field(default_factory=list)
    studies: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class OfflineInstance:
    """One file with its verdict."""

    path: Path
    verdict: Verdict
    prepared: Prepared | None

    def as_json(self) -> dict[str, Any]:
        """Return the line of `--format jsonl`."""
        verdict, prepared = self.verdict, self.prepared
        return {
            "type": "instance",
            "path": str(self.path),
            "sop_instance_uid": prepared.sop_instance_uid if prepared else None,
            "series_instance_uid": prepared.series_instance_uid if prepared else None,
            "study_instance_uid": prepared.study_instance_uid if prepared else None,
            "status": verdict.status.value,
            "reason": verdict.reason,
            "cluster": verdict.cluster,
            "cluster_probability": verdict.cluster_probability,
            "novelty": verdict.novelty,
            "bundle_id": verdict.bundle_id,
        }


def run_inspect(settings: Settings, paths: Sequence[Path], *, as_jsonl: bool) -> None:
    """Inspect files and folders; print the instances one by one, then the series."""
    warnings.simplefilter("ignore")  # those of pydicom quote values of patients
    model = Model(load_bundle(resolve_bundle_path(settings.bundles_dir)))
    files = list(_files(paths))
    inspected = _with_progress(len(files), _inspect(settings, model, files))
    series: dict[object, OfflineSeries] = {}
    unreadable = []
    for instance in inspected:
        _add(series, instance)
        if as_jsonl:
            _print_line(instance.as_json())
        elif instance.verdict.status is VerdictStatus.UNREADABLE:
            unreadable.append((instance.path, instance.verdict.reason or ""))
    judged = _judged(model.bundle.manifest, list(series.values()))
    if as_jsonl:
        for one, judgement in judged:
            _print_line(series_as_json(one.series_instance_uid, judgement))
    else:
        rows = [(one.series_instance_uid, one.verdicts, j) for one, j in judged]
        print_report(rows, unreadable, len(files), model.bundle.bundle_id)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the named files and all files below the named folders, in order."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, below, names in os.walk(path):
            below.sort()
            yield from (Path(folder) / name for name in sorted(names))


def _inspect(
    settings: Settings, model: Model, files: Sequence[Path]
) -> Iterator[OfflineInstance]:
    keyed = ((path, path) for path in files)
    threads, limit = settings.decode_threads, settings.max_frame_mb
    with closing(Pipeline(threads, limit, DecodingLimits.of(settings))) as pipeline:
        for outcome in pipeline.run(model, keyed, identify=lambda _: False):
            verdict = outcome.verdict or _failed(model, outcome)
            yield OfflineInstance(outcome.key, verdict, outcome.prepared)


def _failed(model: Model, outcome: Inspected[Path]) -> Verdict:
    reason = describe_error(outcome.error) if outcome.error else "unknown"
    bundle_id = model.bundle.bundle_id
    return Verdict(bundle_id, VerdictStatus.UNREADABLE, "", reason=reason)


def _add(series: dict[object, OfflineSeries], instance: OfflineInstance) -> None:
    """Add an instance to its series; a file that was not parsed has none."""
    prepared = instance.prepared
    if prepared is None or not (prepared.sop_class_uid or prepared.tags):
        return
    uid = prepared.series_instance_uid
    one = series.setdefault(uid or instance.path, OfflineSeries(uid))
    one.verdicts.append(instance.verdict)
    if prepared.study_instance_uid:
        one.studies.add(prepared.study_instance_uid)


def _judged(
    manifest: BundleManifest, series: Sequence[OfflineSeries]
) -> list[tuple[OfflineSeries, SeriesJudgement]]:
    """Judge each series, with the others of its study as evidence."""
    of_study: dict[str, list[tuple[OfflineSeries, dict[str, TagValue]]]] = {}
    for one in series:
        tags = {tag: value.value for tag, value in observe(one.verdicts).items()}
        for study in one.studies:
            of_study.setdefault(study, []).append((one, tags))

    def judge(one: OfflineSeries) -> SeriesJudgement:
        study = [pair for uid in sorted(one.studies) for pair in of_study[uid]]
        return judge_series(
            manifest,
            one.verdicts,
            studies=max(1, len(one.studies)),
            siblings=[tags for other, tags in study if other is not one],
        )

    return [(one, judge(one)) for one in series]


def series_as_json(uid: str | None, judgement: SeriesJudgement) -> dict[str, Any]:
    """Return the line of `--format jsonl` for a series."""
    return {
        "type": "series",
        "series_instance_uid": uid,
        "instances": judgement.instances,
        "unknown_kind": judgement.unknown_kind,
        "findings": [
            {
                "code": f.code.value,
                "severity": f.severity.value,
                "tag": f.tag,
                "observed": f.observed,
                "expected": [
                    {"value": e.value, "probability": e.probability} for e in f.expected
                ],
                "score": f.score,
                "evidence": f.evidence,
            }
            for f in judgement.findings
        ],
        "judgements": [
            {
                "tag": j.tag,
                "observed": j.observed,
                "probability_wrong": j.probability_wrong,
            }
            for j in judgement.judgements
        ],
    }


def _print_line(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line, allow_nan=False) + "\n")
    sys.stdout.flush()


def _with_progress(
    total: int, instances: Iterator[OfflineInstance]
) -> Iterator[OfflineInstance]:
    """Yield the instances while a progress bar on stderr counts them."""
    console = Console(stderr=True)
    columns = (
        TextColumn("inspecting"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        yield from progress.track(instances, total=total)
