"""`veritag send` with DCMTK's storescp as the receiver."""

import gc
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from services.system.ports import is_taken
from services.system.send_progress import send_with_progress
from tests.ports import free_port
from tests.real_parts import program
from tests.waiting import wait_for
from veritag.peers import storage_scu
from veritag.peers.association import Receiver, ReceiverUnavailable, associate
from veritag.peers.storage_scu import find_files, send
from veritag.phantoms.series import phantom_series

TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"


@dataclass(frozen=True)
class StoreScp:
    """A running storescp."""

    receiver: Receiver
    folder: Path

    def received(self) -> list[Path]:
        """Return the files it has written."""
        return sorted(self.folder.iterdir())


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[StoreScp]:
    folder, port = tmp_path / "received", free_port()
    folder.mkdir()
    process = subprocess.Popen(
        [program("storescp"), "--accept-all", "-od", str(folder), str(port)],
        env={"TCP_NODELAY": "1", "PATH": "/usr/bin:/bin"},
    )
    try:
        wait_for(lambda: is_taken("127.0.0.1", port))
        yield StoreScp(Receiver("127.0.0.1", port), folder)
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def phantom_files(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "phantoms"
    folder.mkdir()
    for n, kind in enumerate(("CT-HEAD", "MR-KNEE", "US-ABDOMEN")):
        for ds in phantom_series(kind, patient=n, instances=2, seed=3, size=48):
            ds.save_as(folder / f"{ds.SOPInstanceUID}.dcm", enforce_file_format=True)
    return find_files([folder])


def pixels(path: Path) -> bytes:
    return bytes(pydicom.dcmread(path).PixelData)


def test_every_sop_class_is_sent_with_its_pixels(
    storescp: StoreScp, phantom_files: list[Path]
) -> None:
    """The pixel data of each SOP Class arrive unchanged."""
    outcomes = send(storescp.receiver, phantom_files)
    assert [o.reason for o in outcomes] == [None] * len(phantom_files)
    sent = {pixels(path) for path in phantom_files}
    assert {pixels(path) for path in storescp.received()} == sent


@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("MR_small_RLE.dcm", RLELossless),
        ("MR_small_jp2klossless.dcm", JPEG2000Lossless),
    ],
)
def test_compressed_files_stay_compressed(
    storescp: StoreScp, name: str, syntax: str
) -> None:
    """A compressed file arrives in its own transfer syntax, not decoded."""
    assert send(storescp.receiver, [TEST_FILES / name])[0].stored
    arrived = storescp.received()[0]
    assert pydicom.dcmread(arrived).file_meta.TransferSyntaxUID == syntax
    assert pixels(arrived) == pixels(TEST_FILES / name)


def test_unreadable_files_are_told_and_the_rest_goes_on(
    storescp: StoreScp, phantom_files: list[Path], tmp_path: Path
) -> None:
    """A file that is not DICOM gets a reason; the others are stored."""
    (tmp_path / "notes.txt").write_text("no picture here")
    (tmp_path / "empty").touch()
    broken = [tmp_path / "notes.txt", tmp_path / "empty", tmp_path / "absent.dcm"]
    outcomes = {
        o.path: o.reason for o in send(storescp.receiver, [*broken, *phantom_files])
    }
    assert all(outcomes[path] for path in broken)
    assert not any(outcomes[path] for path in phantom_files)


def test_a_file_without_file_meta_information_is_sent(
    storescp: StoreScp, tmp_path: Path, phantom_files: list[Path]
) -> None:
    """A bare Data Set is sent in its own encoding."""
    ds = pydicom.dcmread(phantom_files[0])
    del ds.file_meta
    bare = tmp_path / "bare.dcm"
    ds.save_as(bare, implicit_vr=True, little_endian=True)
    assert send(storescp.receiver, [bare])[0].reason is None
    assert pixels(storescp.received()[0]) == pixels(phantom_files[0])


def test_a_data_set_of_odd_length_is_padded(
    storescp: StoreScp, tmp_path: Path, phantom_files: list[Path]
) -> None:
    """A deflated Data Set of odd length arrives, padded to even (PS3.5 A.5)."""
    ds = pydicom.dcmread(phantom_files[0])
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = tmp_path / "deflated.dcm"
    for comment in ("", "a", "ab", "abc", "abcdefg", "zyxwvutsr"):
        ds.ImageComments = comment
        ds.save_as(path, enforce_file_format=True)
        path.write_bytes(path.read_bytes().rstrip(b"\0"))
        if path.stat().st_size % 2:
            break
    assert send(storescp.receiver, [path])[0].reason is None


@pytest.mark.parametrize(
    "syntax",
    [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian],
)
def test_the_command_names_what_the_data_set_is(
    storescp: StoreScp, tmp_path: Path, phantom_files: list[Path], syntax: UID
) -> None:
    """The command has the UIDs of the Data Set, not those of the file meta.

    storescp compares command and Data Set, and answers a difference with 0xA900.
    """
    ds = pydicom.dcmread(phantom_files[0])
    path = tmp_path / "renamed.dcm"
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4.5")
    ds.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.4")
    ds.save_as(path)
    assert pydicom.dcmread(path).file_meta.MediaStorageSOPInstanceUID == "1.2.3.4.5"
    assert send(storescp.receiver, [path])[0].reason is None
    arrived = pydicom.dcmread(storescp.received()[0])
    assert arrived.SOPInstanceUID == ds.SOPInstanceUID
    assert arrived.SOPClassUID == ds.SOPClassUID
    assert pixels(storescp.received()[0])


@contextmanager
def scp(
    contexts: Sequence[PresentationContext], status: int = 0x0000
) -> Iterator[tuple[Receiver, set[object]]]:
    """Run a receiver of these contexts; yield it and the associations that it accepted."""
    associations: set[object] = set()

    def answer(event: evt.Event) -> int:
        associations.add(event.assoc)
        return status

    handlers: list[Any] = [(evt.EVT_C_STORE, answer)]
    server = AE().start_server(
        ("127.0.0.1", 0), block=False, contexts=list(contexts), evt_handlers=handlers
    )
    assert server is not None
    try:
        yield Receiver("127.0.0.1", server.server_address[1]), associations
    finally:
        server.shutdown()


def test_more_contexts_than_one_association_holds(tmp_path: Path) -> None:
    """A hundred and fifty contexts are sent over two associations."""
    classes = [UID(str(c.abstract_syntax)) for c in AllStoragePresentationContexts[:50]]
    syntaxes: list[str | UID] = [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
    ]
    files = []
    for n, (sop_class, syntax) in enumerate(product(classes, syntaxes)):
        ds = phantom_series("CT-HEAD", patient=n, instances=1, seed=3, size=16)[0]
        del ds.PixelData
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = sop_class
        ds.file_meta.TransferSyntaxUID = UID(syntax)
        files.append(tmp_path / f"{n}.dcm")
        ds.save_as(files[-1], enforce_file_format=True)
    with scp([build_context(c, syntaxes) for c in classes]) as (receiver, associations):
        outcomes = send(receiver, files)
    assert [o.reason for o in outcomes] == [None] * 150
    assert len(associations) == 2


def test_a_refused_context_is_the_reason(phantom_files: list[Path]) -> None:
    """A receiver of MR alone is the reason for each other file."""
    only_mr = [build_context("1.2.840.10008.5.1.4.1.1.4", ExplicitVRLittleEndian)]
    with scp(only_mr) as (receiver, _):
        outcomes = send(receiver, phantom_files)
    reasons = [o.reason for o in outcomes if o.reason]
    assert len(reasons) == 4
    assert all("does not accept" in reason for reason in reasons)
    assert sum(o.stored for o in outcomes) == 2


def test_a_failure_status_is_told_with_its_number(phantom_files: list[Path]) -> None:
    """The reason has number and meaning of the status."""
    only_ct = [build_context("1.2.840.10008.5.1.4.1.1.2", ExplicitVRLittleEndian)]
    with scp(only_ct, status=0xA700) as (receiver, _):
        reasons = [o.reason or "" for o in send(receiver, phantom_files)]
    assert sum("0xA700" in reason for reason in reasons) == 2


# pynetdicom leaves the socket of a refused connection to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nobody_there_is_an_error(phantom_files: list[Path]) -> None:
    """The error contains address and AE title of a receiver that does not listen."""
    receiver = Receiver("127.0.0.1", free_port(), "NOBODY")
    with pytest.raises(ReceiverUnavailable, match="NOBODY at 127"):
        send(receiver, phantom_files)
    gc.collect()  # here, where it is expected, and not in another test


def test_progress_ends_with_a_summary(
    storescp: StoreScp,
    phantom_files: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Numbers and reasons go to stderr; stdout is empty."""
    assert send_with_progress(storescp.receiver, phantom_files)
    (tmp_path / "notes.txt").write_text("no picture here")
    assert not send_with_progress(storescp.receiver, [tmp_path / "notes.txt"])
    output = capsys.readouterr()
    assert output.out == ""
    assert "6 of 6 files stored" in output.err
    assert "0 of 1 files stored" in output.err


def test_no_answer_is_lost_to_the_thread_beside(
    storescp: StoreScp, phantom_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late wake-up of pynetdicom's own thread takes no answer from our requests."""

    class LateEvent(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            passed = super().wait(timeout)
            time.sleep(0.03)
            return passed

    associations: list[Association] = []

    def counted(*arguments: Any, **options: Any) -> Association:
        association = associate(*arguments, **options)
        checkpoint = LateEvent()
        checkpoint.set()
        association._reactor_checkpoint = checkpoint
        associations.append(association)
        return association

    monkeypatch.setattr(storage_scu, "associate", counted)
    monkeypatch.setattr(storage_scu, "_ANSWER_SECONDS", 20.0)
    outcomes = send(storescp.receiver, phantom_files * 4)
    assert all(outcome.stored for outcome in outcomes)
    assert len(associations) == 1


def test_a_fault_of_the_disk_is_not_one_of_the_file(tmp_path: Path) -> None:
    """A damaged file is a lasting fault, a missing one is not."""
    damaged, gone = tmp_path / "damaged.dcm", tmp_path / "gone.dcm"
    damaged.write_bytes(b"damaged")
    outcomes = send(Receiver("127.0.0.1", 1), [damaged, gone])
    assert [outcome.lasting for outcome in outcomes] == [True, False]


def test_a_file_that_vanishes_on_the_way_holds_up_no_other(
    storescp: StoreScp, phantom_files: list[Path]
) -> None:
    """A file removed during sending gets a reason that is not lasting."""
    first, second, *_ = phantom_files
    outcomes = send(storescp.receiver, phantom_files, lambda _: second.unlink(True))
    by_path = {outcome.path: outcome for outcome in outcomes}
    assert by_path[first].stored
    assert (by_path[second].stored, by_path[second].lasting) == (False, False)
    assert len(storescp.received()) == len(phantom_files) - 1


def test_a_host_that_is_not_found_is_unavailable(phantom_files: list[Path]) -> None:
    """An unresolvable host name makes the receiver unavailable."""
    with pytest.raises(ReceiverUnavailable, match="address is not found"):
        send(Receiver("::1%nowhere", 104), phantom_files)
