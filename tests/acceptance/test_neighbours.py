"""Other systems: Orthanc as a sender, and logs without patient data."""

from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from tests.acceptance.orthanc import orthanc
from tests.acceptance.senders import dcmsend, write_phantoms
from tests.acceptance.system import System

pytestmark = pytest.mark.acceptance

NAME, PATIENT_ID = "GEHEIMNIS^ERIKA", "SECRET-4711"


def test_orthanc_forwards_a_study(
    system: System, outgoing: Path, tmp_path: Path
) -> None:
    """All instances that Orthanc forwards are recorded and inspected."""
    written = write_phantoms(outgoing, "MR-LSPINE", 8)
    before = system.counts()
    with orthanc(tmp_path, system.port) as archive:
        for path in outgoing.iterdir():
            archive.ask("instances", path.read_bytes())
        assert archive.send_everything("veritag") == len(written)
    after = system.wait_for(
        lambda now: now.received == before.received + 8 and now.backlog == 0
    )
    assert after.inspected == before.inspected + 8


def test_no_patient_data_outside_the_pages(system: System, outgoing: Path) -> None:
    """Logs, metrics and the broker's file hold no patient name or id."""
    datasets = write_phantoms(outgoing, "CR-HAND", 2)
    for path, ds in zip(sorted(outgoing.iterdir()), datasets, strict=True):
        ds.PatientName, ds.PatientID = NAME, PATIENT_ID
        ds.BodyPartExamined = "CHEST"
        ds.save_as(path, enforce_file_format=True)
    # One that cannot be decoded: error messages must not quote it either.
    broken = datasets[0]
    broken.SOPInstanceUID = generate_uid()
    broken.file_meta.MediaStorageSOPInstanceUID = broken.SOPInstanceUID
    broken.PixelData = b"\x00\x00"
    broken.save_as(outgoing / "broken.dcm", enforce_file_format=True)
    before = system.counts()
    assert dcmsend(system, outgoing) == 3
    system.wait_for(
        lambda now: (
            now.received == before.received + 3
            and now.backlog == 0
            and now.series_settled > before.series_settled
        )
    )
    leaks = [
        str(path.relative_to(system.data_dir))
        for folder in ("logs", "run", "broker")
        for path in (system.data_dir / folder).rglob("*")
        if path.is_file() and _names_patient(path.read_bytes())
    ]
    assert leaks == []
    assert not _names_patient(system.output().encode())
    roles = [role for role in system.where["metrics"] if role != "broker"]
    assert roles
    for role in roles:
        assert not _names_patient(system.scrape(role).encode())


def _names_patient(text: bytes) -> bool:
    return any(secret.encode() in text for secret in ("GEHEIMNIS", PATIENT_ID))
