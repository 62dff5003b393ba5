"""Real senders: what they send lies in the spool byte for byte, with its origin."""

import os
import struct
import subprocess
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID
from pynetdicom import AE, _config

from services.listener.contexts import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from tests.integration.listener.conftest import Listening
from tests.integration.listener.wire import CT_IMAGE_STORAGE, EXPLICIT, Peer
from tests.parts import program
from veritag.elements import DEFLATED, EXPLICIT_BIG
from veritag.instance import Provenance
from veritag.part10 import encode_file_meta, read_file_meta

FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
# One file for each way of encoding that ships with pydicom.
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


def _encoded(path: Path) -> bytes:
    """Return the Data Set of a file as it is encoded there."""
    content = path.read_bytes()
    meta = pydicom.filereader.read_file_meta_info(path)
    return content[144 + int(meta.FileMetaInformationGroupLength) :]


def _dcmtk(tool: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a sender of DCMTK; without Nagle's delay, which is its default."""
    return subprocess.run(
        [program(tool), *map(str, arguments)],
        env={**os.environ, "TCP_NODELAY": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", ENCODINGS)
def test_each_encoding_is_stored_as_received(listening: Listening, name: str) -> None:
    """The Data Set is stored byte for byte in the transfer syntax it was sent in."""
    _config.STORE_SEND_CHUNKED_DATASET = True
    path = FOLDER / name
    meta = pydicom.filereader.read_file_meta_info(path)
    ae = AE(ae_title="CT1")
    ae.add_requested_context(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
    assoc = ae.associate("127.0.0.1", listening.port, ae_title="ARCHIVE")
    try:
        assert assoc.send_c_store(path).Status == 0x0000
    finally:
        assoc.release()
        _config.STORE_SEND_CHUNKED_DATASET = False
    (stored,) = listening.received()
    ours = read_file_meta(stored)
    assert ours.transfer_syntax_uid == ENCODINGS[name]
    assert stored.read_bytes()[ours.dataset_offset :] == _encoded(path)
    assert ours.provenance.calling_ae_title == "CT1"
    assert ours.provenance.called_ae_title == "ARCHIVE"
    assert ours.provenance.peer_address == "127.0.0.1"


def _tiny(syntax: str) -> bytes:
    """Encode the least Data Set in a transfer syntax, its pixels made up."""
    explicit = struct.pack("<HH2sH", 8, 0x16, b"UI", 26) + CT_IMAGE_STORAGE.encode()
    explicit += b"\0" + struct.pack("<HH2sH", 8, 0x18, b"UI", 6) + b"1.2.3\0"
    data = explicit + struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OB", 0, 8) + b"anything"
    if syntax in DEFLATED:
        data = zlib.compress(data)[2:-4]
    elif syntax == EXPLICIT_BIG:
        data = struct.pack(">HH2sH", 8, 0x16, b"UI", 26) + data[8:34]
        data += struct.pack(">HH2sH", 8, 0x18, b"UI", 6) + b"1.2.3\0"
    return data


def test_no_transfer_syntax_is_looked_into(listening: Listening) -> None:
    """Video, HTJ2K, JPEG XL and all others: pixels of any kind are kept as they came."""
    syntaxes = sorted(TRANSFER_SYNTAXES)
    for syntax in syntaxes:
        with Peer(listening.port).associate((CT_IMAGE_STORAGE, [syntax])) as peer:
            answer = peer.store(_tiny(syntax), CT_IMAGE_STORAGE, "1.2.3")
            assert answer.status == 0x0000, syntax
            peer.release()
    for syntax, stored in zip(syntaxes, listening.received(), strict=True):
        meta = read_file_meta(stored)
        assert meta.transfer_syntax_uid == syntax
        assert stored.read_bytes()[meta.dataset_offset :] == _tiny(syntax)


def test_pydicom_reads_what_is_stored(listening: Listening) -> None:
    """The stored file is a Part 10 file with the same elements and pixels."""
    path = FOLDER / "CT_small.dcm"
    assert _dcmtk("storescu", "127.0.0.1", listening.port, path).returncode == 0
    (stored,) = listening.received()
    ours, theirs = pydicom.dcmread(stored), pydicom.dcmread(path)
    del theirs.DataSetTrailingPadding  # storescu leaves it out
    assert ours == theirs


def test_echoscu_is_answered(listening: Listening) -> None:
    """DCMTK's C-ECHO succeeds."""
    assert _dcmtk("echoscu", "127.0.0.1", listening.port).returncode == 0


def test_dcmsend_sends_compressed_files(listening: Listening) -> None:
    """All that dcmsend finds sendable arrives, compressed files unchanged."""
    names = ["CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "JPEG-lossy.dcm"]
    files = [FOLDER / name for name in names]
    sent = _dcmtk("dcmsend", "-dn", "127.0.0.1", listening.port, *files)
    assert sent.returncode == 0, sent.stderr
    stored = [read_file_meta(p) for p in listening.received()]
    assert len(stored) == len(files)
    assert {m.transfer_syntax_uid for m in stored} == {ENCODINGS[n] for n in names}


def _with_unknown_vrs(path: Path, sop_instance: str) -> Path:
    """Write a file whose UIDs are of VR UN, which DCMTK reads as numbers of a list."""
    origin = Provenance("CT1", "VERITAG", "127.0.0.1", "a1", datetime.now(UTC))
    head = encode_file_meta(CT_IMAGE_STORAGE, sop_instance, EXPLICIT, origin)
    body = b""
    for number, uid in ((0x16, CT_IMAGE_STORAGE), (0x18, sop_instance)):
        value = uid.encode() + b"\0" * (len(uid) % 2)
        body += struct.pack("<HH2sHL", 8, number, b"UN", 0, len(value)) + value
    path.write_bytes(head + body)
    return path


def test_dcmsend_goes_on_after_a_file_that_it_misread(
    listening: Listening, tmp_path: Path
) -> None:
    """A command that names a SOP Class "31" costs its own file and none of the rest."""
    good = [FOLDER / name for name in ("CT_small.dcm", "MR_small_implicit.dcm")]
    bad = _with_unknown_vrs(tmp_path / "bad.dcm", "1.2.3.4")
    more = [FOLDER / "MR_small_RLE.dcm", FOLDER / "JPEG2000.dcm"]
    where = "127.0.0.1", listening.port
    sent = _dcmtk("dcmsend", "-v", "-dn", "-nh", "-nuc", *where, *good, bad, *more)
    assert sent.stderr.count("C-STORE Response (Success)") == 4, sent.stderr
    assert sent.stderr.count("C-STORE Response (Refused: SOPClassNotSupported)") == 1
    assert len(listening.received()) == 4


def test_a_series_arrives_over_one_association(listening: Listening) -> None:
    """Many instances over one association are all there, each under its own name."""
    files = [FOLDER / n for n in ("CT_small.dcm", "MR_small.dcm")] * 20
    assert _dcmtk("storescu", "127.0.0.1", listening.port, *files).returncode == 0
    assert len(listening.received()) == 40


def test_all_classes_and_syntaxes_are_accepted(listening: Listening) -> None:
    """Every storage SOP Class is accepted, and for one of them every transfer syntax."""
    uids = sorted(STORAGE_SOP_CLASSES)
    for start in range(0, len(uids), 128):
        ae = AE()
        for uid in uids[start : start + 128]:
            ae.add_requested_context(UID(uid), "1.2.840.10008.1.2")
        assoc = ae.associate("127.0.0.1", listening.port)
        assert assoc.is_established
        assert assoc.rejected_contexts == []
        assoc.release()
    ae = AE()
    for syntax in sorted(TRANSFER_SYNTAXES):
        ae.add_requested_context("1.2.840.10008.5.1.4.1.1.2", syntax)
    assoc = ae.associate("127.0.0.1", listening.port)
    assert assoc.rejected_contexts == []
    assoc.release()


def test_malformed_files_are_answered(listening: Listening, corpus: Path) -> None:
    """Each malformed file that can be offered at all gets a status, and no harm comes."""
    _config.STORE_SEND_CHUNKED_DATASET = True
    files = sorted((corpus / "malformed").iterdir())
    try:
        answers = [_offer(listening.port, path) for path in files]
    finally:
        _config.STORE_SEND_CHUNKED_DATASET = False
    assert set(answers) <= {0x0000, 0xA900, 0xC000, None}
    assert answers.count(0x0000) == len(listening.received())
    assert _dcmtk("echoscu", "127.0.0.1", listening.port).returncode == 0


def _offer(port: int, path: Path) -> int | None:
    """Send a file as its File Meta Information says; None where that is impossible."""
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
    answer = assoc.send_c_store(path)
    assoc.release()
    return int(answer.Status) if "Status" in answer else None
