"""From foreign senders to a reviewer's decision, on the running system."""

import csv
import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pydicom
import pytest

from services.system.demo_studies import real_files
from tests.acceptance.senders import dcmsend, dcmsend_counts, storescu, write_phantoms
from tests.acceptance.system import System
from tests.waiting import wait_for
from veritag.phantoms.series import plant_wrong_tag

pytestmark = pytest.mark.acceptance

CORPUS_FILES = 90
WELL_FORMED = {"image", "non-image"}


def real_sample(corpus: Path, well_formed: Path, odd: Path) -> None:
    """Copy files of every group, transfer syntax and SOP class of the corpus."""
    with (corpus / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    kinds: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        kind = row["group"], row["transfer_syntax"], row["sop_class_name"]
        kinds.setdefault(kind, []).append(row["path"])
    chosen = [(k[0], path) for k, paths in kinds.items() for path in paths[:2]]
    for n, (group, path) in enumerate(chosen[:CORPUS_FILES]):
        folder = well_formed if group in WELL_FORMED else odd
        shutil.copy(corpus / path, folder / f"{n:03d}.dcm")


def shipped_sample(well_formed: Path, odd: Path) -> None:
    """Copy the files that ship inside pydicom, many of them broken on purpose."""
    good = set(real_files())
    for path in (Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm"):
        shutil.copy(path, well_formed if path in good else odd)


def everything_answered(system: System, before: Any, sent: int) -> Any:
    return system.wait_for(
        lambda now: now.received == before.received + sent and now.backlog == 0
    )


def test_real_files_all_get_a_verdict_or_a_reason(
    system: System, outgoing: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Every acknowledged instance is recorded and gets a verdict or a reason."""
    odd = tmp_path / "odd"
    odd.mkdir()
    try:
        real_sample(request.getfixturevalue("corpus"), outgoing, odd)
    except pytest.skip.Exception:
        shipped_sample(outgoing, odd)
    before = system.counts()
    offered, acknowledged = dcmsend_counts(system, outgoing)
    # All that DCMTK could read, and so sent: a few files it leaves out itself.
    assert acknowledged == offered > 20
    # DCMTK makes unusable commands of malformed files; ours sends them as they are.
    process = system.command("send", "127.0.0.1", str(system.port), str(odd))
    assert "Traceback" not in process.stderr
    summary = re.search(r"(\d+) of (\d+) files stored", process.stderr)
    assert summary, process.stderr
    stored, tried = map(int, summary.groups())
    assert tried == len(list(odd.iterdir()))
    assert process.stderr.count("not stored") == tried - stored
    after = everything_answered(system, before, acknowledged + stored)
    assert after.inspected + after.dead_letters >= after.indexed


def find_series(system: System, series_instance_uid: str, study: str) -> Any:
    for series in system.get(f"studies/{study}")["series"]:
        if series["series_instance_uid"] == series_instance_uid:
            return series
    pytest.fail(f"the study does not hold {series_instance_uid}")


def test_a_planted_error_is_found_decided_and_counted(
    system: System, outgoing: Path
) -> None:
    """A wrong body part is in the worklist, and leaves it after a decision."""
    # The starter bundle knows every radiograph of the chest among 40 others like it.
    datasets = write_phantoms(outgoing, "CR-CHEST", 6, seed=4711)
    plant_wrong_tag(datasets, "BodyPartExamined", "HAND")
    for path, ds in zip(sorted(outgoing.iterdir()), datasets, strict=True):
        ds.save_as(path, enforce_file_format=True)
    study, series_uid = datasets[0].StudyInstanceUID, datasets[0].SeriesInstanceUID
    assert storescu(system, outgoing) == 6

    def is_listed(_now: object) -> bool:
        rows = system.get("worklist?limit=1000&code=TAG_CONTRADICTS_IMAGE")["rows"]
        return study in {row["study_instance_uid"] for row in rows}

    system.wait_for(is_listed)
    finding = next(
        f
        for f in find_series(system, series_uid, study)["findings"]
        if f["code"] == "TAG_CONTRADICTS_IMAGE"
    )
    assert (finding["tag"], finding["observed"]) == ("BodyPartExamined", "HAND")
    assert finding["expected"][0]["value"] == "CHEST"

    decision = {
        "decision": "CORRECTED",
        "corrected_value": "CHEST",
        "reviewer": "radiographer",
    }
    posted = system.post(f"findings/{finding['finding_id']}/decisions", decision)
    assert posted["decision"] == "CORRECTED"
    decided = system.get(f"findings/{finding['finding_id']}")
    assert [d["reviewer"] for d in decided["decisions"]] == ["radiographer"]
    assert not is_listed(None)
    indexed = "veritag_instances_indexed_total"
    wait_for(lambda: system.metric("indexer", indexed) >= 6)


def at_rest(system: System, role: str, name: str) -> float:
    """Return a metric once its value is stable: metrics follow the records."""
    now, before = system.metric(role, name), -1.0
    while now != before:
        time.sleep(0.5)
        before, now = now, system.metric(role, name)
    return now


def test_metrics_status_and_records_agree(system: System, outgoing: Path) -> None:
    """Records, metrics and `veritag status` agree."""
    write_phantoms(outgoing, "MR-KNEE", 5)
    received = at_rest(system, "listener", "veritag_instances_received_total")
    inspected = at_rest(system, "worker", "veritag_instances_inspected_total")
    before = system.counts()
    assert dcmsend(system, outgoing) == 5
    after = everything_answered(system, before, 5)
    metric = system.metric
    wait_for(
        lambda: metric("listener", "veritag_instances_received_total") == received + 5
    )
    wait_for(
        lambda: metric("worker", "veritag_instances_inspected_total") == inspected + 5
    )
    status = json.loads(system.command("status", "--json").stdout)
    assert status["bundle_id"].startswith("vb-")
    assert (status["received"], status["indexed"], status["inspected"]) == (
        after.received,
        after.indexed,
        after.inspected,
    )
    assert status["backlog"] == 0


def test_the_same_instance_twice_is_one_instance(
    system: System, outgoing: Path
) -> None:
    """A repeated instance is received twice and inspected once."""
    write_phantoms(outgoing, "US-ABDOMEN", 2)
    before = system.counts()
    assert storescu(system, outgoing) == 2
    assert storescu(system, outgoing) == 2
    after = everything_answered(system, before, 4)
    assert after.indexed == before.indexed + 2
    assert after.inspected == before.inspected + 2


def test_other_bytes_under_the_same_uid_are_kept_and_told(
    system: System, outgoing: Path
) -> None:
    """Both versions are kept, and the series gets the finding that names the conflict."""
    ds = write_phantoms(outgoing, "MR-BRAIN", 1)[0]
    ds.ImageComments = "altered on the way"
    ds.save_as(outgoing / "altered.dcm", enforce_file_format=True)
    before = system.counts()
    assert storescu(system, outgoing) == 2
    after = everything_answered(system, before, 2)
    assert after.indexed == before.indexed + 2

    def conflict(_now: object) -> bool:
        series = find_series(system, ds.SeriesInstanceUID, ds.StudyInstanceUID)
        return any(f["code"] == "DUPLICATE_UID_CONFLICT" for f in series["findings"])

    system.wait_for(conflict)


def test_a_uid_is_never_a_path(system: System, outgoing: Path) -> None:
    """An instance named like a path out of the archive is refused or kept inside it."""
    ds = write_phantoms(outgoing, "CR-HAND", 1, size=64)[0]
    path = next(outgoing.iterdir())
    uid = ds.SOPInstanceUID.encode()
    evil = b"../../../../../../tmp/veritag-evil".ljust(len(uid), b"x")[: len(uid)]
    path.write_bytes(path.read_bytes().replace(uid, evil))
    before = system.counts()
    sent = storescu(system, outgoing)
    everything_answered(system, before, sent)
    assert not list(Path("/tmp").glob("veritag-evil*"))
    inside = {p.parent.parent for p in system.data_dir.rglob("*evil*")}
    assert not inside
