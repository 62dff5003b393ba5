"""The JSON API, as programs use it."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.integration.review.testbed import PATIENT_NAME, ReviewTestbed


def first_finding(client: httpx.Client, day: ReviewTestbed) -> dict[str, object]:
    """Return the gravest finding of the chest study."""
    study = client.get(f"/api/v1/studies/{day.studies['CR-CHEST']}").json()
    finding: dict[str, object] = study["series"][0]["findings"][0]
    return finding


def test_the_worklist_is_a_page_of_studies(
    client: httpx.Client, day: ReviewTestbed
) -> None:
    """Rows come with counts, codes and the worst severity, beside the total."""
    body = client.get("/api/v1/worklist", params={"limit": 1}).json()
    assert body["total"] == 2
    (row,) = body["rows"]
    assert row["study_instance_uid"] == day.studies["CR-CHEST"]
    assert row["codes"] == ["TAG_CONTRADICTS_IMAGE", "TAG_MISSING"]
    assert (row["worst"], row["findings_open"], row["instances"]) == ("ERROR", 2, 4)


def test_a_study_comes_with_series_findings_and_pictures(
    client: httpx.Client, day: ReviewTestbed
) -> None:
    """A finding has the received and the expected values, its state and decisions."""
    finding = first_finding(client, day)
    assert finding["observed"] == "HAND"
    assert finding["expected"][0] == {"value": "CHEST", "probability": 0.91}  # type: ignore[index]
    assert (finding["state"], finding["decisions"]) == ("open", [])
    again = client.get(f"/api/v1/findings/{finding['finding_id']}").json()
    assert again == finding


def test_a_decision_is_stored_and_listed(
    client: httpx.Client, day: ReviewTestbed
) -> None:
    """A posted decision is returned as recorded, and listed since its moment."""
    began = datetime.now(UTC)
    finding = first_finding(client, day)
    answer = client.post(
        f"/api/v1/findings/{finding['finding_id']}/decisions",
        json={
            "decision": "CORRECTED",
            "corrected_value": "CHEST",
            "note": "plain chest film",
            "reviewer": "Ada",
            "version": finding["version"],
        },
    )
    assert answer.status_code == 201
    assert answer.json()["shown"]["observed"] == "HAND"
    since = {"since": began.isoformat()}
    assert client.get("/api/v1/decisions", params=since).json() == [answer.json()]
    later = {"since": (datetime.now(UTC) + timedelta(seconds=5)).isoformat()}
    assert client.get("/api/v1/decisions", params=later).json() == []
    state = client.get(f"/api/v1/findings/{finding['finding_id']}").json()["state"]
    assert state == "decided"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "decision"),
        ({"decision": "CONFIRMED"}, "reviewer"),
        ({"decision": "confirmed", "reviewer": "Ada"}, "decision"),
        ({"decision": "CORRECTED", "reviewer": "Ada"}, "CORRECTED needs"),
        (
            {"decision": "CONFIRMED", "corrected_value": "X", "reviewer": "Ada"},
            "the others take none",
        ),
        ({"decision": "CONFIRMED", "reviewer": " "}, "reviewer"),
        ({"decision": "CONFIRMED", "reviewer": "Ada", "colour": "red"}, "colour"),
        ({"decision": "CONFIRMED", "reviewer": "A" * 129}, "reviewer"),
        ({"decision": "CONFIRMED", "reviewer": "Ada", "note": "n" * 4001}, "note"),
        ([], "JSON object"),
    ],
)
def test_a_wrong_decision_is_refused_in_words(
    client: httpx.Client, day: ReviewTestbed, body: object, field: str
) -> None:
    """The answer names the field without the value; nothing is stored."""
    number = first_finding(client, day)["finding_id"]
    answer = client.post(f"/api/v1/findings/{number}/decisions", json=body)
    assert answer.status_code == 422
    assert field in answer.json()["detail"]
    assert "AAAA" not in answer.text
    assert client.get("/api/v1/decisions").json() == []


def test_a_form_is_no_json(client: httpx.Client, day: ReviewTestbed) -> None:
    """Only application/json is read, which a page of another site cannot send."""
    number = first_finding(client, day)["finding_id"]
    address = f"/api/v1/findings/{number}/decisions"
    for content_type in ("application/x-www-form-urlencoded", "text/plain"):
        answer = client.post(
            address,
            content=b'{"decision": "CONFIRMED", "reviewer": "Ada"}',
            headers={"Content-Type": content_type},
        )
        assert answer.status_code == 422
        assert "application/json" in answer.json()["detail"]


def test_a_correction_belongs_to_a_tag(
    client: httpx.Client, day: ReviewTestbed
) -> None:
    """A finding about no single tag can only be confirmed or dismissed."""
    study = client.get(f"/api/v1/studies/{day.studies['MR-KNEE']}").json()
    number = study["series"][0]["findings"][0]["finding_id"]
    answer = client.post(
        f"/api/v1/findings/{number}/decisions",
        json={"decision": "CORRECTED", "corrected_value": "X", "reviewer": "Ada"},
    )
    assert answer.status_code == 422
    assert "no right value" in answer.json()["detail"]


@pytest.mark.parametrize(
    "path",
    ["/api/v1/findings/999", "/api/v1/studies/1.2.3", "/api/v1/nothing"],
)
def test_what_is_not_there_is_not_found(client: httpx.Client, path: str) -> None:
    """Errors of the API are JSON."""
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["detail"]


def test_a_moment_without_time_zone_is_refused(client: httpx.Client) -> None:
    """A moment needs a time zone."""
    answer = client.get("/api/v1/decisions", params={"since": "2026-01-01T00:00:00"})
    assert answer.status_code == 422
    assert "since" in answer.json()["detail"]


def test_status_and_dead_letters_agree(client: httpx.Client) -> None:
    """The counts say what the lists show."""
    counts = client.get("/api/v1/status").json()
    assert counts["dead_letters"] == len(client.get("/api/v1/dead-letters").json()) == 1
    assert (counts["received"], counts["findings_open"]) == (23, 3)


def test_the_schema_describes_every_route(client: httpx.Client) -> None:
    """Programs find all routes in the OpenAPI document, and no page."""
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    assert len(paths) == 14
    assert all(path.startswith("/api/v1/") for path in paths)


def test_no_patient_name_is_ever_shown(
    client: httpx.Client, day: ReviewTestbed
) -> None:
    """The Patient Name is in the archived files, but in no answer."""
    study = day.studies["CR-CHEST"]
    for path in ("/", f"/studies/{study}", f"/api/v1/studies/{study}", "/metrics"):
        assert PATIENT_NAME.split("^")[0] not in client.get(path).text
