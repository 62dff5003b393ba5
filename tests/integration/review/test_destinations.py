"""The page of destinations: waiting and parked instances, and retries."""

from datetime import UTC, datetime

import pytest

from tests.integration.review import http
from tests.integration.review.conftest import Serve
from tests.integration.review.testbed import ReviewTestbed
from veritag.records.audit import audit_trail
from veritag.records.delivery.commitments import add_commitment, end_commitment
from veritag.records.delivery.destinations import sync_destinations
from veritag.records.delivery.forwarding import (
    ForwardOutcome,
    due_forwards,
    store_outcomes,
)
from veritag.records.states import CommitmentState, ForwardState
from veritag.storage.commitment_folder import CommitmentRequest, ReferencedInstance

PEERS = ("pacs=PACS@pacs.example:104;forward",)


@pytest.fixture
def sending(testbed: ReviewTestbed) -> ReviewTestbed:
    """Four instances: two sent, one parked, one waiting; and a commitment given up."""
    ids = sync_destinations(testbed.records, {"pacs": None, "old": None})
    testbed.add("CR-CHEST", instances=4)
    due = due_forwards(testbed.records, ids["pacs"], 10)
    reason = "the receiver does not accept <CR> Image Storage"
    outcomes = [ForwardOutcome(f.forward_id, ForwardState.SENT) for f in due[:2]]
    parked = ForwardOutcome(due[2].forward_id, ForwardState.PARKED, reason)
    store_outcomes(testbed.records, ids["pacs"], [*outcomes, parked])
    sync_destinations(testbed.records, {"pacs": None})
    request = CommitmentRequest(
        "1.2.3",
        (ReferencedInstance("1.2", "1.2.3.4"),),
        "SCANNER1",
        "VERITAG",
        "association-1",
        datetime.now(UTC),
    )
    add_commitment(testbed.records, "1.json", request)
    end_commitment(
        testbed.records, 1, CommitmentState.FAILED, reason="SCANNER1 does not answer"
    )
    return testbed


@pytest.mark.usefixtures("sending")
def test_the_page_shows_what_is_where(serve: Serve) -> None:
    """Counts, addresses, reasons, and the requests of storage commitment; escaped."""
    page = http.get(serve(peers=PEERS) + "/destinations")
    assert page.status_code == 200
    assert "PACS at pacs.example:104" in page.text
    assert "does not accept &lt;CR&gt; Image Storage" in page.text
    assert "Try it again" in page.text
    assert "no longer in the settings" in page.text
    assert "given up" in page.text
    assert "SCANNER1 does not answer" in page.text


@pytest.mark.usefixtures("testbed")
def test_the_page_says_when_there_is_nothing(serve: Serve) -> None:
    """Without destinations it says how to make one."""
    page = http.get(serve() + "/destinations")
    assert "VERITAG_PEERS" in page.text


def test_a_person_has_parked_instances_tried_again(
    sending: ReviewTestbed, serve: Serve
) -> None:
    """The button queues them, with the name in the audit trail; twice is a conflict."""
    with http.client(base_url=serve(peers=PEERS)) as client:
        (state,) = [
            d["state"]
            for d in client.get("/api/v1/destinations").json()
            if d["state"]["name"] == "pacs"
        ]
        assert (state["waiting"], state["parked"], state["sent"]) == (1, 1, 2)
        where = f"/destinations/{state['destination_id']}/retry"
        nobody = client.post(where, data={"reviewer": " "})
        assert nobody.status_code == 422
        answer = client.post(where, data={"reviewer": "Ada"})
        assert answer.status_code == 303
        page = client.get(answer.headers["location"])
        assert "1 instance is queued again" in page.text
        assert client.post(where, data={"reviewer": "Ada"}).status_code == 409
    newest = audit_trail(sending.records)[0]
    assert (newest.kind, newest.actor) == ("forwards_retried", "Ada")


@pytest.mark.usefixtures("sending")
def test_programs_see_and_do_the_same(serve: Serve) -> None:
    """The JSON API names what is parked, tries it again, and lists commitments."""
    with http.client(base_url=serve(peers=PEERS) + "/api/v1") as client:
        pacs, old = client.get("/destinations").json()
        assert not old["state"]["active"]
        assert pacs["parked"][0]["reason"].startswith("the receiver does not accept")
        answer = client.get("/commitments").json()
        assert answer["counts"]["failed"] == 1
        assert answer["newest"][0]["calling_ae_title"] == "SCANNER1"
        path = f"/destinations/{pacs['state']['destination_id']}/retry"
        assert client.post(path, json={"reviewer": "Ada"}).json() == {"instances": 1}
        assert (
            client.post("/destinations/99/retry", json={"reviewer": "A"}).status_code
            == 409
        )


def test_behind_a_proxy_its_name_counts(sending: ReviewTestbed, serve: Serve) -> None:
    """Requests without the name that the proxy adds are refused; others have that name."""
    url = serve(peers=PEERS, review_user_header="X-Remote-User")
    assert http.get(url + "/destinations").status_code == 401
    proxied = {"X-Remote-User": "Grace"}
    assert "as Grace" in http.get(url + "/destinations", headers=proxied).text
    state = http.get(url + "/api/v1/destinations", headers=proxied).json()[0]["state"]
    where = f"{url}/destinations/{state['destination_id']}/retry"
    answer = http.post(where, data={"reviewer": "Eve"}, headers=proxied)
    assert answer.status_code == 303
    assert audit_trail(sending.records)[0].actor == "Grace"
