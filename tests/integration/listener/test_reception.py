"""Real senders, whose instances are stored byte for byte with their origin."""

import struct
from pathlib import Path

import pydicom
import pytest
from pynetdicom import AE, _config

from tests.integration.listener.conftest import Listening
from tests.integration.listener.scu import dcmtk, encoded, write_file
from tests.integration.listener.wire import CT_IMAGE_STORAGE, EXPLICIT
from veritag.dicom.part10 import read_file_meta
from veritag.peers.association import leave_answers_to_requests

FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
# One file of pydicom for each transfer syntax.
ENCODINGS = {
    "CT_small.dcm": "1.2.840.10008.1.2.1",
    "MR_small_implicit.dcm": "1.2.840.10008.1.2",
    "ExplVR_BigEnd.dcm": "1.2.840.10008.1.2.2",
    "image_dfl.dcm": "1.2.840.10008.1.2.1.99",
    "MR_small_RLE.dcm": "1.2.840.10008.1.2.5",
    "JPEG2000.dcm": "1.2.840.10008.1.2.4.91",
    "MR_small_jp2klossless.dcm": "1.2.840.10008.1.2.4.90",
    "MR_small_jpeg_ls_lossless.dcm": "1.2.840.10008.1.2.4.80",
    "SC_rgb_jpeg_dcmtk.dcm": "1.2.840.10008.1.2.4.50",
    "JPEG-lossy.dcm": "1.2.840.10008.1.2.4.51",
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_each_encoding_is_stored_as_received(
    listening: Listening, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Data Set is stored byte for byte in the transfer syntax it was sent in."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    path = FOLDER / name
    meta = pydicom.filereader.read_file_meta_info(path)
    ae = AE(ae_title="CT1")
    ae.add_requested_context(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
    assoc = ae.associate("127.0.0.1", listening.port, ae_title="ARCHIVE")
    leave_answers_to_requests(assoc)
    try:
        assert assoc.send_c_store(path).Status == 0x0000
    finally:
        assoc.release()
    (stored,) = listening.received()
    stored_meta = read_file_meta(stored)
    assert stored_meta.transfer_syntax_uid == ENCODINGS[name]
    assert stored.read_bytes()[stored_meta.dataset_offset :] == encoded(path)
    assert stored_meta.provenance.calling_ae_title == "CT1"
    assert stored_meta.provenance.called_ae_title == "ARCHIVE"
    assert stored_meta.provenance.peer_address == "127.0.0.1"


def test_pydicom_reads_what_is_stored(listening: Listening) -> None:
    """The stored file is a Part 10 file with the same elements and pixels."""
    path = FOLDER / "CT_small.dcm"
    assert dcmtk("storescu", "127.0.0.1", listening.port, path).returncode == 0
    (stored,) = listening.received()
    received, sent = pydicom.dcmread(stored), pydicom.dcmread(path)
    del sent.DataSetTrailingPadding  # storescu leaves it out
    assert received == sent


def test_echoscu_is_answered(listening: Listening) -> None:
    """DCMTK's C-ECHO succeeds."""
    assert dcmtk("echoscu", "127.0.0.1", listening.port).returncode == 0


def test_dcmsend_sends_compressed_files(listening: Listening) -> None:
    """All files that dcmsend can send arrive, compressed ones unchanged."""
    names = ["CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "JPEG-lossy.dcm"]
    files = [FOLDER / name for name in names]
    sent = dcmtk("dcmsend", "-dn", "127.0.0.1", listening.port, *files)
    assert sent.returncode == 0, sent.stderr
    stored = [read_file_meta(p) for p in listening.received()]
    assert len(stored) == len(files)
    assert {m.transfer_syntax_uid for m in stored} == {ENCODINGS[n] for n in names}


def _unknown_vrs(sop_instance: str) -> bytes:
    """Encode UIDs with VR UN, which DCMTK reads as a list of numbers."""
    body = b""
    for number, uid in ((0x16, CT_IMAGE_STORAGE), (0x18, sop_instance)):
        value = uid.encode() + b"\0" * (len(uid) % 2)
        body += struct.pack("<HH2sHL", 8, number, b"UN", 0, len(value)) + value
    return body


def test_dcmsend_goes_on_after_a_file_that_it_misread(
    listening: Listening, tmp_path: Path
) -> None:
    """A command with SOP Class "31" fails its own file and no other."""
    good = [FOLDER / name for name in ("CT_small.dcm", "MR_small_implicit.dcm")]
    bad = tmp_path / "bad.dcm"
    write_file(bad, CT_IMAGE_STORAGE, "1.2.3.4", EXPLICIT, _unknown_vrs("1.2.3.4"))
    more = [FOLDER / "MR_small_RLE.dcm", FOLDER / "JPEG2000.dcm"]
    address = "127.0.0.1", listening.port
    sent = dcmtk("dcmsend", "-v", "-dn", "-nh", "-nuc", *address, *good, bad, *more)
    assert sent.stderr.count("C-STORE Response (Success)") == 4, sent.stderr
    assert sent.stderr.count("C-STORE Response (Refused: SOPClassNotSupported)") == 1
    assert len(listening.received()) == 4


def test_a_series_arrives_over_one_association(listening: Listening) -> None:
    """Many instances of one association are stored, each under its own name."""
    files = [FOLDER / n for n in ("CT_small.dcm", "MR_small.dcm")] * 20
    assert dcmtk("storescu", "127.0.0.1", listening.port, *files).returncode == 0
    assert len(listening.received()) == 40


def test_malformed_files_are_answered(
    listening: Listening, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each malformed file that can be proposed gets a status."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    files = sorted((corpus / "malformed").iterdir())
    answers = [_offer(listening.port, path) for path in files]
    assert set(answers) <= {0x0000, 0xA900, 0xC000, None}
    assert answers.count(0x0000) == len(listening.received())
    assert dcmtk("echoscu", "127.0.0.1", listening.port).returncode == 0


def _offer(port: int, path: Path) -> int | None:
    """Send a file by its File Meta Information; None where that is impossible."""
    ae = AE()
    try:
        meta = pydicom.filereader.read_file_meta_info(path)
        sop_class = meta.MediaStorageSOPClassUID
        ae.add_requested_context(sop_class, meta.TransferSyntaxUID)
    except (pydicom.errors.InvalidDicomError, AttributeError, ValueError):
        return None
    assoc = ae.associate("127.0.0.1", port)
    if not assoc.is_established:
        return None
    leave_answers_to_requests(assoc)
    try:
        answer = assoc.send_c_store(path)
    finally:
        assoc.release()
    return int(answer.Status) if "Status" in answer else None
