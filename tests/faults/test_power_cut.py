"""0x0000 is sent only after the instance survives a power cut."""

import threading
from pathlib import Path

import pytest

from tests.faults.reception import (
    OFFER,
    files_by_uid,
    instance,
    listener,
    settings,
)
from tests.faults.steps import PageCache, Recorder, Step
from tests.integration.listener.wire import CT_IMAGE_STORAGE, Peer

FOLDER, SPOOL, PART, FINAL = "/data", "/data/spool", "/data/spool/a", "/data/spool/b"
BEGIN, END = "begin", "end"


def taken(*steps: tuple[str, int, str, str]) -> PageCache:
    """Return a page cache after some steps in a folder that is on the disk."""
    cache = PageCache(FOLDER, {SPOOL: 1}, {SPOOL: 1})
    for step in steps:
        cache.take(Step(*step))
    return cache


WRITTEN = (("created", 2, PART, ""), ("written", 2, PART, ""))
SYNCED = (("syncing", 2, PART, ""), ("synced", 2, PART, ""))
RENAMED = ("renamed", 2, PART, FINAL)
FOLDER_SYNCED = (("syncing", 1, SPOOL, ""), ("synced", 1, SPOOL, ""))


def test_all_steps_in_their_order_are_enough() -> None:
    """Write, fsync, rename and fsync of the folder make a file durable."""
    cache = taken(*WRITTEN, *SYNCED, RENAMED, *FOLDER_SYNCED)
    assert cache.surely_has(FINAL)


@pytest.mark.parametrize(
    "steps",
    [
        (*WRITTEN, RENAMED, *FOLDER_SYNCED),
        (*WRITTEN, *SYNCED, RENAMED),
        (*WRITTEN, *SYNCED, *FOLDER_SYNCED, RENAMED),
        (*WRITTEN, *SYNCED, RENAMED, *FOLDER_SYNCED, ("written", 2, FINAL, "")),
        (*WRITTEN, *SYNCED, RENAMED, *FOLDER_SYNCED, ("unlinked", 2, FINAL, "")),
        (FOLDER_SYNCED[0], *WRITTEN, *SYNCED, RENAMED, FOLDER_SYNCED[1]),
    ],
    ids=["file", "folder", "folder-too-early", "written-later", "removed", "meanwhile"],
)
def test_a_missing_step_is_noticed(
    steps: tuple[tuple[str, int, str, str], ...],
) -> None:
    """Without one of the steps, or in another order, the file is not durable."""
    assert not taken(*steps).surely_has(FINAL)


def test_a_folder_that_may_vanish_takes_its_files_along() -> None:
    """A durable file in a folder whose own name is not durable is not safe."""
    steps = (*WRITTEN, *SYNCED, RENAMED, *FOLDER_SYNCED)
    cache = PageCache(FOLDER, {SPOOL: 1}, {})
    for step in steps:
        cache.take(Step(*step))
    assert not cache.surely_has(FINAL)


@pytest.mark.parametrize("reception", ["fast", "stock"])
def test_what_is_answered_survives_a_power_cut(
    recorder: Recorder, reception: str
) -> None:
    """When the response is sent the instance is durable under its final name."""
    variables = settings(recorder, reception)
    sent = [instance(n, large=n == 2) for n in range(4)]
    with (
        listener(recorder, variables),
        Peer(int(variables["VERITAG_DICOM_PORT"])).associate(OFFER) as peer,
    ):
        for uid, data in sent:
            recorder.mark(BEGIN, uid)
            assert peer.store(data, CT_IMAGE_STORAGE, uid).status == 0
            recorder.mark(END, uid)
    assert _unsafe(recorder, at="sent") == []
    assert _unsafe(recorder, at=END) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"VERITAG_RECEPTION": "fast"},
        {"VERITAG_LISTENER_PROCESSES": "2"},
        {"VERITAG_RECEPTION": "stock"},
    ],
    ids=["fast", "processes", "stock"],
)
def test_what_several_are_answered_survives_a_power_cut(
    recorder: Recorder, changes: dict[str, str]
) -> None:
    """Each of several parallel associations gets 0x0000 only for durable instances."""
    variables = {**settings(recorder), **changes}
    port = int(variables["VERITAG_DICOM_PORT"])

    def send(first: int) -> None:
        with Peer(port).associate(OFFER) as peer:
            for number in range(first, first + 8):
                uid, data = instance(number)
                assert peer.store(data, CT_IMAGE_STORAGE, uid).status == 0
                recorder.mark(END, uid)

    threads = [threading.Thread(target=send, args=(100 * n,)) for n in range(4)]
    with listener(recorder, variables):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    ended = [step for step in recorder.steps() if step.name == END]
    assert len(ended) == 32
    assert _unsafe(recorder, at=END) == []


def _unsafe(recorder: Recorder, at: str) -> list[str]:
    """Return the instances that are not durable at the first such step."""
    paths = files_by_uid(recorder.under / "spool" / "ready")
    cache = PageCache(str(recorder.under))
    unsafe, expected = [], ""
    for step in recorder.steps():
        cache.take(step)
        if step.name == BEGIN:
            expected = step.path
        uid = step.path if at == END else expected
        if step.name == at and uid:
            if not _is_safe(cache, paths[uid]):
                unsafe.append(uid)
            expected = ""
    return unsafe


def _is_safe(cache: PageCache, paths: list[Path]) -> bool:
    return any(cache.surely_has(str(path)) for path in paths)
