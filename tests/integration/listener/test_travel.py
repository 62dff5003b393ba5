"""Unchanged transfer of all SOP Classes, transfer syntaxes, and real files."""

import csv
import hashlib
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from services.indexer.indexer import Indexer
from services.indexer.publisher import Publisher
from services.listener.presentation_contexts import (
    STORAGE_SOP_CLASSES,
    TRANSFER_SYNTAXES,
)
from tests.integration.listener.conftest import Listening
from tests.integration.listener.scu import (
    dcmtk,
    encoded,
    kept,
    pynetdicom_send,
    tiny,
    write_file,
)
from tests.integration.listener.wire import (
    CT_IMAGE_STORAGE,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    data_set,
    element,
)
from veritag.dicom.elements import EXPLICIT_BIG
from veritag.dicom.part10 import read_file_meta
from veritag.messaging.dispatcher import Dispatcher
from veritag.peers.association import Receiver
from veritag.peers.outgoing_files import read_outgoing_file
from veritag.peers.storage_scu import send
from veritag.records import Records
from veritag.settings import Settings
from veritag.storage.archive import Archive

PRIVATE_SOP_CLASS = "1.3.12.2.1107.5.9.1"
_PIXELS = ["SOPInstanceUID", "PixelData"]
FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"

Listen = Callable[..., Listening]


@pytest.fixture(params=["fast", "stock"])
def reception(request: pytest.FixtureRequest) -> str:
    """Fast and stock reception."""
    return str(request.param)


@pytest.fixture
def listening(listen: Listen, reception: str) -> Listening:
    """A Storage SCP with fast and with stock reception."""
    return listen(reception=reception)


def _of_class(folder: Path, number: int, sop_class: str) -> Path:
    """Write a small instance of a SOP Class."""
    uid = f"1.2.3.{number}"
    body = data_set(sop_class, uid, more=element(0x7FE00010, uid.encode() * 9))
    return write_file(folder / f"{number:03}.dcm", sop_class, uid, IMPLICIT, body)


def _as_sent(listening: Listening, files: list[Path]) -> None:
    """Compare the files in the spool with the sent ones, in order."""
    for sent, stored in zip(files, listening.received(), strict=True):
        sent_meta, stored_meta = read_file_meta(sent), read_file_meta(stored)
        assert stored_meta.sop_class_uid == sent_meta.sop_class_uid
        assert stored_meta.sop_instance_uid == sent_meta.sop_instance_uid
        assert stored_meta.transfer_syntax_uid == sent_meta.transfer_syntax_uid
        assert stored_meta.provenance.calling_ae_title == "CT1"
        assert stored_meta.provenance.called_ae_title == "ANY-SCP"
        assert stored_meta.provenance.peer_address == "127.0.0.1"
        assert kept(stored) == encoded(sent)


def test_an_instance_of_each_sop_class_is_stored(
    listening: Listening, tmp_path: Path
) -> None:
    """For each storage SOP Class file meta and Data Set are those that were sent."""
    classes = sorted(STORAGE_SOP_CLASSES)
    files = [_of_class(tmp_path, n, uid) for n, uid in enumerate(classes)]
    assert Counter(pynetdicom_send(listening.port, files)) == {0x0000: len(files)}
    _as_sent(listening, files)


def test_an_instance_in_each_transfer_syntax_is_stored(
    listening: Listening, tmp_path: Path
) -> None:
    """Pixel data of video, HTJ2K, JPEG XL and all others are stored unchanged."""
    files = [
        write_file(tmp_path / syntax, CT_IMAGE_STORAGE, "1.2.3", syntax, tiny(syntax))
        for syntax in sorted(TRANSFER_SYNTAXES)
    ]
    assert Counter(pynetdicom_send(listening.port, files)) == {0x0000: len(files)}
    _as_sent(listening, files)


def test_a_private_sop_class_is_stored_with_the_setting(
    listen: Listen, reception: str, tmp_path: Path
) -> None:
    """A private SOP Class is rejected without the setting and stored unchanged with it."""
    files = [_of_class(tmp_path, 0, PRIVATE_SOP_CLASS)]
    strict = listen(reception=reception, data_dir=tmp_path / "strict")
    assert pynetdicom_send(strict.port, files) == [None]
    assert strict.received() == []
    open_ = listen(reception=reception, accept_private_sop_classes=True)
    assert pynetdicom_send(open_.port, files) == [0x0000]
    _as_sent(open_, files)


# What makes a file of each transfer syntax that DCMTK itself can encode.
CONVERSIONS = {
    IMPLICIT: ("dcmconv", "+ti"),
    EXPLICIT: ("dcmconv", "+te"),
    EXPLICIT_BIG: ("dcmconv", "+tb"),
    DEFLATED: ("dcmconv", "+td"),
    "1.2.840.10008.1.2.5": ("dcmcrle",),
    "1.2.840.10008.1.2.4.50": ("dcmcjpeg", "+eb"),
    "1.2.840.10008.1.2.4.51": ("dcmcjpeg", "+ee"),
    "1.2.840.10008.1.2.4.53": ("dcmcjpeg", "+es"),
    "1.2.840.10008.1.2.4.55": ("dcmcjpeg", "+ep"),
    "1.2.840.10008.1.2.4.57": ("dcmcjpeg", "+el"),
    "1.2.840.10008.1.2.4.70": ("dcmcjpeg", "+e1"),
    "1.2.840.10008.1.2.4.80": ("dcmcjpls", "+el"),
    "1.2.840.10008.1.2.4.81": ("dcmcjpls", "+en"),
}


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One picture in each transfer syntax that DCMTK can encode."""
    folder = tmp_path_factory.mktemp("converted")
    picture = pydicom.dcmread(FOLDER / "examples_rgb_color.dcm")
    del picture.DataSetTrailingPadding  # DCMTK does not send it
    picture.save_as(folder / "picture.dcm")
    files = {}
    for syntax, (tool, *options) in CONVERSIONS.items():
        path = folder / f"{syntax}.dcm"
        process = dcmtk(tool, *options, folder / "picture.dcm", path)
        assert process.returncode == 0, process.stderr
        assert pydicom.filereader.read_file_meta_info(path).TransferSyntaxUID == syntax
        files[syntax] = path
    return files


def _inflated(data: bytes) -> bytes:
    return zlib.decompressobj(-15).decompress(data)


# dcmsend turns what is uncompressed into Explicit VR Little Endian; storescu obeys.
PROPOSALS = {IMPLICIT: "-xi", EXPLICIT_BIG: "-xb"}


def test_what_dcmtk_encodes_travels_unchanged(
    listening: Listening, converted: dict[str, Path]
) -> None:
    """Each transfer syntax that DCMTK encodes and sends is stored byte for byte."""
    address = "127.0.0.1", listening.port
    for syntax, proposal in PROPOSALS.items():
        assert dcmtk("storescu", proposal, *address, converted[syntax]).returncode == 0
    others = [p for syntax, p in converted.items() if syntax not in PROPOSALS]
    sent = dcmtk("dcmsend", "-dn", "-nuc", *address, *others)
    assert sent.returncode == 0, sent.stderr
    stored = {read_file_meta(p).transfer_syntax_uid: p for p in listening.received()}
    assert stored.keys() == CONVERSIONS.keys()
    for syntax, path in converted.items():
        # DCMTK deflates the Data Set again.
        content = _inflated if syntax == DEFLATED else bytes
        assert content(kept(stored[syntax])) == content(encoded(path)), syntax


# Why some of the 754 files are not sent or not accepted; most are malformed on purpose.
NOT_SENT = {
    "it lacks SOP Class UID or SOP Instance UID": 7,
    "not a DICOM file": 1,
    "not a DICOM file but an HTML page": 1,
    "the receiver does not accept Media Storage Directory Storage in "
    "Explicit VR Little Endian": 2,
    "the receiver does not accept Color Palette Storage in "
    "Explicit VR Little Endian": 1,
    "status 0xC000: The Data Set lacks SOP Class or Instance UID": 2,
    "status 0xC000: SOP Instance UID is not a UID": 1,
}
# Their File Meta Information is absent or incomplete: the sender encodes them again.
ENCODED_ANEW = 6


def _manifest(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_corpus_travels_unchanged(
    listen: Listen, reception: str, corpus: Path
) -> None:
    """Spool and archive contain real files of many makers byte for byte."""
    listening = listen(reception=reception, accept_private_sop_classes=True)
    files = [corpus / row["path"] for row in _manifest(corpus)]
    outcomes = send(Receiver("127.0.0.1", listening.port), files)
    assert Counter(o.reason for o in outcomes if not o.stored) == NOT_SENT
    sent = [o.path for o in outcomes if o.stored]
    digests = [_digest(kept(path)) for path in listening.received()]
    assert len(digests) == len(sent) == len(files) - sum(NOT_SENT.values())
    arrived = dict(zip(sent, digests, strict=True))
    as_they_are = [path for path in sent if read_outgoing_file(path).data_set is None]
    assert len(as_they_are) == len(sent) - ENCODED_ANEW
    assert [p for p in as_they_are if arrived[p] != _digest_sent(p)] == []
    assert _archived(listening) == set(digests)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _digest_sent(path: Path) -> bytes:
    """Return the digest of a file's Data Set, padded to even length as on the network."""
    data = encoded(path)
    return _digest(data + bytes(len(data) % 2))


def _archived(listening: Listening) -> set[bytes]:
    """Index the spool; return the digests of the Data Sets in the archive."""
    settings = listening.settings
    settings.archive_dir.mkdir()
    records = Records.open(settings.records_url)
    records.migrate()
    # There is no broker at this address, and none is needed here.
    dispatcher = Dispatcher.open(Settings(broker_url="redis://127.0.0.1:1/0"))
    publisher = Publisher(records, dispatcher, 0.05)
    archive = Archive(settings.archive_dir)
    indexer = Indexer(listening.spool, archive, records, publisher, 0.05)
    while indexer.round():
        pass
    dispatcher.close()
    records.close()
    assert listening.received() == []
    return {_digest(kept(path)) for path in archive.root.rglob("*.dcm")}


def _pixel_data(path: Path) -> tuple[str, bytes]:
    """Return SOP Instance UID and encoded pixel data, padded to even length."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # real files are what they are
        ds = pydicom.dcmread(path, force=True, specific_tags=_PIXELS)
        pixels = bytes(ds.get("PixelData") or b"")
    return str(ds.get("SOPInstanceUID")), pixels + bytes(len(pixels) % 2)


def _some(corpus: Path) -> list[Path]:
    """Return some of the real images, and all with an unusual encoding."""
    # dcmsend turns Big Endian into Little Endian.
    rows = [r for r in _manifest(corpus) if r["transfer_syntax"] != EXPLICIT_BIG]
    images = [r for r in rows if r["group"] == "image"][::8]
    odd = [r for r in rows if r["group"] == "odd"]
    return [corpus / row["path"] for row in images + odd]


def test_pixel_data_travels_unchanged_from_dcmtk(
    listening: Listening, corpus: Path
) -> None:
    """Real files sent by dcmsend arrive with the same pixel data."""
    files = _some(corpus)
    address = "127.0.0.1", listening.port
    process = dcmtk("dcmsend", "-v", "-dn", "-nh", "-nuc", *address, *files)
    received = listening.received()
    assert process.stderr.count("C-STORE Response (Success)") == len(received) > 200
    # Some are the same instance in other transfer syntaxes.
    sent = set(map(_pixel_data, files))
    assert [path for path in received if _pixel_data(path) not in sent] == []
