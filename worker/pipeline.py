"""Decoding in a pool of threads while the model runs."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from veritag.dicom.small_native_files import is_small_native
from veritag.findings import Verdict
from veritag.pixels.decoding_pool import DecodingPool
from veritag.pixels.decoding_process import DecodingLimits
from veritag.pixels.preprocessing import Preprocessing
from veritag.process.metrics import STAGE_SECONDS
from worker.inference import Model
from worker.preparation import Prepared, prepare
from worker.verdicts import verdict_without_picture, verdicts_of

Key = TypeVar("Key")

# Decoded instances waiting for the model, for each thread that decodes.
_AHEAD = 4

# Longest time that outcomes wait for a full batch: a file may take a minute.
_HOLD_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Inspected(Generic[Key]):
    """The outcome of one inspection: a verdict, or the exception that prevented it."""

    key: Key
    prepared: Prepared | None
    verdict: Verdict | None
    error: Exception | None = None


class Pipeline:
    """Inspection of files in their order, decoded ahead of the model.

    Parameters
    ----------
    threads
        That read and decode; each holds a few instances in memory.
    limits
        Of the processes that read large and compressed files.
    """

    def __init__(self, threads: int, max_frame_mb: int, limits: DecodingLimits) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._ahead = _AHEAD * threads
        self._decoding = DecodingPool(limits, prepare.__module__)
        self._max_frame_mb = max_frame_mb

    def warm(self, processes: int = 1) -> list[Future[None]]:
        """Start decoding processes in the background, which takes a second.

        The others start when more files need one at the same time: each takes 50 MB,
        and a site that sends small uncompressed images needs none of them.
        """
        return [self._pool.submit(self._decoding.warm) for _ in range(processes)]

    def close(self) -> None:
        """Stop the threads and their processes."""
        self._pool.shutdown(cancel_futures=True)
        self._decoding.close()

    def _prepare(
        self, path: Path, pre: Preprocessing, *, identify: bool, received_at: datetime
    ) -> Prepared:
        job = partial(
            prepare,
            path,
            pre,
            max_frame_mb=self._max_frame_mb,
            identify=identify,
            received_at=received_at,
        )
        prepared = job() if is_small_native(path) else self._decoding.call(job)
        for stage, seconds in prepared.seconds.items():
            STAGE_SECONDS.labels(stage).observe(seconds)
        return prepared

    def run(
        self,
        model: Model,
        files: Iterable[tuple[Key, Path]],
        identify: Callable[[Key], bool] = lambda _: True,
        received: Callable[[Key], datetime] = lambda _: datetime.now(UTC),
    ) -> Generator[Inspected[Key], None, None]:
        """Yield an outcome for each file, in the order of the files.

        A file that cannot be inspected has the error in its outcome; the others continue.

        Parameters
        ----------
        identify
            Whether to read what reviewers identify the study of a file by.
        received
            When a file arrived.
        """
        outcomes: list[Inspected[Key]] = []
        pictures, since = 0, time.monotonic()
        for outcome in self._prepared(model, files, identify, received):
            outcomes.append(outcome)
            pictures += outcome.error is None and outcome.verdict is None
            # Outcomes without a picture wait too, for the order, but not without a limit.
            full = pictures == model.batch or len(outcomes) >= _AHEAD * model.batch
            if full or time.monotonic() - since > _HOLD_SECONDS:
                yield from _with_verdicts(model, outcomes)
                outcomes, pictures, since = [], 0, time.monotonic()
        yield from _with_verdicts(model, outcomes)

    def _prepared(
        self,
        model: Model,
        files: Iterable[tuple[Key, Path]],
        identify: Callable[[Key], bool],
        received: Callable[[Key], datetime],
    ) -> Iterator[Inspected[Key]]:
        ahead: deque[tuple[Key, Future[Prepared]]] = deque()
        pre = model.bundle.manifest.preprocessing
        try:
            for key, path in files:
                future = self._pool.submit(
                    self._prepare,
                    path,
                    pre,
                    identify=identify(key),
                    received_at=received(key),
                )
                ahead.append((key, future))
                if len(ahead) >= self._ahead:
                    yield _outcome(model, *ahead.popleft())
            while ahead:
                yield _outcome(model, *ahead.popleft())
        finally:
            for _, future in ahead:
                future.cancel()


def _outcome(model: Model, key: Key, future: Future[Prepared]) -> Inspected[Key]:
    try:
        prepared = future.result()
    except Exception as error:  # noqa: BLE001 -- it concerns this instance only
        return Inspected(key, None, None, error)
    if prepared.tile is None:
        return Inspected(key, prepared, verdict_without_picture(model.bundle, prepared))
    return Inspected(key, prepared, None)


def _with_verdicts(
    model: Model, outcomes: list[Inspected[Key]]
) -> Iterator[Inspected[Key]]:
    """Run the model on the pictures among the outcomes; yield all in their order."""
    pictures = [
        one.prepared
        for one in outcomes
        if one.prepared is not None and one.prepared.tile is not None
    ]
    verdicts = iter(_verdicts(model, pictures))
    for one in outcomes:
        if one.prepared is not None and one.prepared.tile is not None:
            yield replace(one, verdict=next(verdicts))
        else:
            yield one


def _verdicts(model: Model, pictures: list[Prepared]) -> list[Verdict]:
    tiles = [one.tile for one in pictures if one.tile is not None]
    if not tiles:
        return []
    started = time.perf_counter()
    outputs = model.run(np.stack(tiles))
    STAGE_SECONDS.labels("model").observe(time.perf_counter() - started)
    return verdicts_of(model.bundle, pictures, outputs)
