"""Storage commitment from the request to the report, with real requestors."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, evt

from services.delivery import commitment_reports as commitments_module
from services.delivery.commitment_check import (
    CLASS_CONFLICT,
    NO_SUCH_INSTANCE,
    CommitmentCheck,
)
from services.delivery.commitment_reports import CommitmentReports
from services.delivery.event_report import ReportRejected, send_report
from services.listener.acceptor import Acceptor
from tests.acceptance.orthanc import orthanc
from tests.integration.delivery.conftest import Site, thread_of
from tests.integration.listener.wire import CT_IMAGE_STORAGE
from tests.ports import free_port
from tests.waiting import wait_for
from veritag.peers.association import Receiver, leave_answers_to_requests
from veritag.records.delivery.commitments import (
    CommitmentRow,
    commitment_counts,
    postpone_commitment,
    recent_commitments,
)
from veritag.settings import Settings
from veritag.storage.archive import Archive
from veritag.storage.commitment_folder import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentFolder,
    CommitmentRequest,
    ReferencedInstance,
)

# pynetdicom leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)

MR = "1.2.840.10008.5.1.4.1.1.4"


@dataclass
class Requestor:
    """A modality that receives reports and can be unreachable."""

    port: int = field(default_factory=free_port)
    status: int = 0x0000
    reports: list[tuple[int, Dataset]] = field(default_factory=list)
    roles: list[Any] = field(default_factory=list)
    callers: list[str] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Receive reports within the block."""
        ae = AE(ae_title="SCANNER1")
        ae.add_supported_context(PUSH_MODEL, scu_role=False, scp_role=True)
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_N_EVENT_REPORT, self._take),
            (evt.EVT_REQUESTED, self._note),
        ]
        address = "127.0.0.1", self.port
        server = ae.start_server(address, block=False, evt_handlers=handlers)
        assert server is not None
        try:
            yield
        finally:
            server.shutdown()

    def _note(self, event: Any) -> None:
        self.callers.append(event.assoc.requestor.primitive.calling_ae_title)
        self.roles += event.assoc.requestor.role_selection.values()

    def _take(self, event: Any) -> tuple[int, None]:
        self.reports.append((event.request.EventTypeID, event.event_information))
        return self.status, None


def ask(site: Site, *references: ReferencedInstance, age_hours: float = 0) -> None:
    """Put a request into the folder, as the listener does."""
    folder = CommitmentFolder(site.settings.spool_dir)
    folder.prepare()
    assert site.spool.ready.is_dir()
    moment = datetime.fromtimestamp(time.time() - 3600 * age_hours, UTC)
    request = CommitmentRequest(
        "1.2.3.99", references, "SCANNER1", "VERITAG", "association-1", moment
    )
    folder.store(request)


def commitments(site: Site, requestor: Requestor) -> CommitmentReports:
    """Return the commitment work for requests of SCANNER1."""
    archive = Archive(site.settings.archive_dir)
    return CommitmentReports(
        CommitmentFolder(site.settings.spool_dir),
        site.records,
        CommitmentCheck(site.spool, archive, site.records),
        {"SCANNER1": Receiver("127.0.0.1", requestor.port, "SCANNER1", "VERITAG")},
        give_up_hours=1.0,
    )


def newest(site: Site) -> CommitmentRow:
    """Return the newest request."""
    return recent_commitments(site.records)[0]


def test_what_is_in_spool_or_archive_is_committed(site: Site) -> None:
    """The report comes over a new association, as SCP, with the AE title that was called."""
    requestor = Requestor()
    site.index(site.receive("1.2.3.1"))
    site.receive("1.2.3.2")
    ask(site, *(ReferencedInstance(CT_IMAGE_STORAGE, f"1.2.3.{n}") for n in (1, 2)))
    with requestor.listening(), thread_of(commitments(site, requestor).run):
        wait_for(lambda: commitment_counts(site.records).reported)
    ((event_type, information),) = requestor.reports
    assert event_type == 1
    assert information.TransactionUID == "1.2.3.99"
    assert [
        str(i.ReferencedSOPInstanceUID) for i in information.ReferencedSOPSequence
    ] == [
        "1.2.3.1",
        "1.2.3.2",
    ]
    assert "FailedSOPSequence" not in information
    (role,) = requestor.roles
    assert (role.scu_role, role.scp_role) == (False, True)
    assert requestor.callers == ["VERITAG"]
    assert CommitmentFolder(site.settings.spool_dir).names() == []
    assert (newest(site).state, newest(site).committed) == ("reported", 2)


def test_what_is_not_safe_is_told_with_the_reason(site: Site) -> None:
    """An unknown instance, one of another class, and one without a file are failures."""
    requestor = Requestor()
    _, removed = site.index(site.receive("1.2.3.1"), site.receive("1.2.3.2"))
    site.receive("1.2.3.3")
    Archive(site.settings.archive_dir).path(removed.archive_key).unlink()
    ask(
        site,
        ReferencedInstance(CT_IMAGE_STORAGE, "1.2.3.1"),
        ReferencedInstance(MR, "1.2.3.1"),
        ReferencedInstance(CT_IMAGE_STORAGE, "1.2.3.2"),
        ReferencedInstance(MR, "1.2.3.3"),
        ReferencedInstance(CT_IMAGE_STORAGE, "1.2.3.4"),
    )
    with requestor.listening(), thread_of(commitments(site, requestor).run):
        wait_for(lambda: requestor.reports)
    ((event_type, information),) = requestor.reports
    assert event_type == 2
    assert len(information.ReferencedSOPSequence) == 1
    failed = [
        (str(i.ReferencedSOPClassUID), str(i.ReferencedSOPInstanceUID), i.FailureReason)
        for i in information.FailedSOPSequence
    ]
    assert failed == [
        (MR, "1.2.3.1", CLASS_CONFLICT),
        (CT_IMAGE_STORAGE, "1.2.3.2", NO_SUCH_INSTANCE),
        (MR, "1.2.3.3", CLASS_CONFLICT),
        (CT_IMAGE_STORAGE, "1.2.3.4", NO_SUCH_INSTANCE),
    ]


def test_nothing_is_told_while_the_archive_is_away(site: Site) -> None:
    """Without the archive the request waits: a failure would be final to a scanner."""
    requestor = Requestor()
    site.index(site.receive("1.2.3.1"))
    root = site.settings.archive_dir
    elsewhere = root.rename(site.data_dir / "elsewhere")
    root.mkdir()
    ask(site, ReferencedInstance(CT_IMAGE_STORAGE, "1.2.3.1"))
    work = commitments(site, requestor)
    work.record_requests()
    with requestor.listening(), ThreadPoolExecutor(1) as pool:
        assert work.report_due(pool) == 1
        assert (requestor.reports, newest(site).state) == ([], "waiting")
        elsewhere.rename(root)
        (request,) = recent_commitments(site.records)
        now = datetime.now(UTC)
        postpone_commitment(site.records, request.commitment_id, now, "")
        assert work.report_due(pool) == 1
    assert requestor.reports[0][0] == 1


def test_a_request_that_cannot_be_read_holds_up_no_other(site: Site) -> None:
    """The unreadable request stays in the folder, and the others are reported."""
    requestor = Requestor()
    unread = CommitmentFolder(site.settings.spool_dir).root / "0.json"
    unread.mkdir(parents=True)
    ask(site, ReferencedInstance(CT_IMAGE_STORAGE, "1.2.3.1"))
    with requestor.listening(), thread_of(commitments(site, requestor).run):
        wait_for(lambda: commitment_counts(site.records).reported)
    assert unread.exists()


def test_a_requestor_without_an_address_is_told_of(site: Site) -> None:
    """An unresolvable host name fails the report with a reason, not the process."""
    requestor = Receiver("::1%nowhere", 104, "SCANNER1")
    answer = CommitmentCheck(
        site.spool, Archive(site.settings.archive_dir), site.records
    ).check(())
    with pytest.raises(ReportRejected, match="address is not found"):
        send_report(requestor, "1.2.3.99", answer)


def test_a_requestor_that_is_away_is_tried_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request survives a restart, and the report reflects the time of its sending."""
    monkeypatch.setattr(commitments_module, "_FIRST_DELAY", 0.2)
    requestor = Requestor()
    ask(site, ReferencedInstance(CT_IMAGE_STORAGE, "1.2.3.1"))
    with thread_of(commitments(site, requestor).run):
        wait_for(
            lambda: commitment_counts(site.records).waiting and newest(site).reason
        )
    assert "does not answer" in str(newest(site).reason)
    site.index(site.receive("1.2.3.1"))
    with requestor.listening(), thread_of(commitments(site, requestor).run):
        wait_for(lambda: commitment_counts(site.records).reported)
    assert requestor.reports[0][0] == 1
    assert newest(site).attempts >= 2


def test_a_report_that_nobody_takes_is_given_up(site: Site) -> None:
    """After the configured hours the request is failed, with the reason."""
    requestor = Requestor()
    ask(site, ReferencedInstance(CT_IMAGE_STORAGE, "1.2.3.1"), age_hours=2)
    with thread_of(commitments(site, requestor).run):
        wait_for(lambda: commitment_counts(site.records).failed)
    assert "does not answer" in str(newest(site).reason)


def test_a_report_that_is_refused_is_not_taken(site: Site) -> None:
    """A failure status of the requestor counts as not reported."""
    requestor = Requestor(status=0x0110)
    ask(site, ReferencedInstance(CT_IMAGE_STORAGE, "1.2.3.1"))
    with requestor.listening(), thread_of(commitments(site, requestor).run):
        wait_for(
            lambda: commitment_counts(site.records).waiting and newest(site).reason
        )
    assert "0x0110" in str(newest(site).reason)


def test_a_request_is_reported_once_by_two_processes(site: Site) -> None:
    """Of two processes only one claims and reports a due request."""
    requestor = Requestor()
    ask(site, ReferencedInstance(CT_IMAGE_STORAGE, "1.2.3.1"))
    works = [commitments(site, requestor) for _ in range(2)]
    works[0].record_requests()
    with requestor.listening(), ThreadPoolExecutor(4) as pool:
        for attempt in [pool.submit(w.report_due, pool) for w in works]:
            attempt.result()
    assert len(requestor.reports) == 1


@pytest.fixture
def listener(site: Site) -> Iterator[Callable[[str], Acceptor]]:
    """Return a function that starts the listener of the site with peers."""
    started: list[Acceptor] = []

    def start(peers: str) -> Acceptor:
        settings = Settings(
            data_dir=site.data_dir,
            dicom_host="127.0.0.1",
            dicom_port=0,
            disk_reserve_mb=0,
            peers=peers,
        )
        acceptor = Acceptor(settings, site.spool)
        acceptor.start()
        started.append(acceptor)
        return acceptor

    yield start
    for acceptor in started:
        acceptor.stop(1)


def test_orthanc_gets_its_report(
    site: Site, tmp_path: Path, listener: Callable[[str], Acceptor]
) -> None:
    """Orthanc requests commitment of sent and unsent instances, and gets both results."""
    requestor = Requestor()
    scp = listener(f"SCANNER1@127.0.0.1:{requestor.port}")
    site.index(site.receive("1.2.3.1"))
    references = [[CT_IMAGE_STORAGE, "1.2.3.1"], [CT_IMAGE_STORAGE, "1.2.3.2"]]
    settings = {"DicomServerEnabled": True, "DicomPort": requestor.port}
    with (
        orthanc(tmp_path, scp.port, {**settings, "DicomAet": "SCANNER1"}) as archive,
        thread_of(commitments(site, requestor).run),
    ):
        body = json.dumps({"DicomInstances": references}).encode()
        path = archive.ask("modalities/veritag/storage-commitment", body)["Path"]
        wait_for(lambda: archive.ask(path[1:])["Status"] != "Pending")
        results = archive.ask(path[1:])
    assert results["Status"] == "Failure"
    assert [i["SOPInstanceUID"] for i in results["Success"]] == ["1.2.3.1"]
    assert [i["SOPInstanceUID"] for i in results["Failures"]] == ["1.2.3.2"]
    assert results["Failures"][0]["FailureReason"] == NO_SUCH_INSTANCE, results
    assert newest(site).state == "reported"


def test_a_modality_that_waits_on_its_own_association_is_answered(
    site: Site, listener: Callable[[str], Acceptor]
) -> None:
    """The report arrives while the association of the request is still open."""
    requestor = Requestor()
    scp = listener(f"SCANNER1@127.0.0.1:{requestor.port}")
    site.receive("1.2.3.1")
    ae = AE(ae_title="SCANNER1")
    ae.add_requested_context(PUSH_MODEL)
    information = Dataset()
    information.TransactionUID = "1.2.3.99"
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = (
        CT_IMAGE_STORAGE,
        "1.2.3.1",
    )
    information.ReferencedSOPSequence = [item]
    with requestor.listening(), thread_of(commitments(site, requestor).run):
        association = ae.associate("127.0.0.1", scp.port)
        leave_answers_to_requests(association)
        try:
            status, _ = association.send_n_action(
                information, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE
            )
            assert status.Status == 0x0000
            wait_for(lambda: requestor.reports)
        finally:
            association.release()
    assert requestor.reports[0][0] == 1
