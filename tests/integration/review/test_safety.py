"""Access control, headers, health and failures of the review service."""

import json
import logging
from pathlib import Path

import httpx
import pytest

from tests.integration.review import http
from tests.integration.review.conftest import Serve
from tests.integration.review.testbed import ReviewTestbed
from tests.waiting import wait_for
from veritag.process.logs import configure_logging
from veritag.settings import Settings

DECISION = {"decision": "CONFIRMED", "reviewer": "Mallory"}


def test_pages_are_not_framed_cached_or_scripted(client: httpx.Client) -> None:
    """Every page forbids frames, foreign content and copies in a cache."""
    headers = client.get("/").headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_pages_need_nothing_from_elsewhere(
    client: httpx.Client, day: ReviewTestbed
) -> None:
    """No page names another host, and none carries inline script or style."""
    for path in (
        "/",
        f"/studies/{day.studies['CR-CHEST']}",
        "/dead-letters",
        "/models",
        "/detectability",
    ):
        page = client.get(path).text
        assert "http://" not in page
        assert "https://" not in page
        assert "<style" not in page
        assert " style=" not in page
        assert "<script>" not in page


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_foreign_site_cannot_decide(
    client: httpx.Client, day: ReviewTestbed, headers: dict[str, str]
) -> None:
    """A form of another site is refused, and JSON as well."""
    study = day.studies["CR-CHEST"]
    form = client.post(
        f"/studies/{study}/findings/1/decisions", data=DECISION, headers=headers
    )
    api = client.post("/api/v1/findings/1/decisions", json=DECISION, headers=headers)
    assert (form.status_code, api.status_code) == (403, 403)
    assert client.get("/api/v1/decisions").json() == []


def test_our_own_forms_are_accepted(client: httpx.Client, day: ReviewTestbed) -> None:
    """The headers that browsers send with our own forms are accepted."""
    for headers in (
        {"Origin": str(client.base_url).rstrip("/")},
        {"Sec-Fetch-Site": "same-origin"},
    ):
        answer = client.post(
            f"/studies/{day.studies['CR-CHEST']}/findings/1/decisions",
            data=DECISION,
            headers=headers,
        )
        assert answer.status_code == 303


def test_only_known_host_names_are_answered(serve: Serve) -> None:
    """Other host names are refused, except on the addresses for probes."""
    address = serve(review_host_names=("qc.hospital.example",))
    for host, status in (
        ("evil.example", 400),
        ("", 400),
        ("[", 400),
        ("QC.hospital.example:8080", 200),
        ("localhost", 200),
        ("192.0.2.7:8080", 200),
        ("[::1]:8080", 200),
    ):
        answer = http.get(address, headers={"Host": host})
        assert answer.status_code == status, host
    assert http.get(f"{address}/live", headers={"Host": "any"}).status_code == 200


def test_a_body_has_a_limit(client: httpx.Client) -> None:
    """Large and endless bodies are refused before they are read."""
    large = client.post("/api/v1/findings/1/decisions", content=b"x" * 65_537)
    assert large.status_code == 413
    endless = client.post("/api/v1/findings/1/decisions", content=iter([b"x"]))
    assert endless.status_code == 411


def test_the_proxy_names_the_reviewer(day: ReviewTestbed, serve: Serve) -> None:
    """Where a proxy names the reviewer, a name in the form is ignored."""
    address = serve(review_user_header="X-Remote-User")
    study = f"{address}/studies/{day.studies['CR-CHEST']}"
    headers = {"X-Remote-User": "ada"}
    page = http.get(study, headers=headers)
    assert 'name="reviewer"' not in page.text
    assert "as ada" in page.text
    answer = http.post(f"{study}/findings/1/decisions", data=DECISION, headers=headers)
    assert answer.status_code == 303
    assert "set-cookie" not in answer.headers
    http.post(
        f"{address}/api/v1/findings/2/decisions", json=DECISION, headers=headers
    ).raise_for_status()
    stored = http.get(f"{address}/api/v1/decisions", headers=headers).json()
    assert [d["reviewer"] for d in stored] == ["ada", "ada"]


def test_nobody_comes_around_the_proxy(day: ReviewTestbed, serve: Serve) -> None:
    """Where a proxy names the reviewer, requests without a name are refused."""
    address = serve(review_user_header="X-Remote-User")
    study = day.studies["CR-CHEST"]
    for path in (
        "/",
        f"/studies/{study}",
        "/dead-letters",
        "/models",
        "/detectability",
        "/api/v1/training-runs",
        "/api/v1/detectability",
        "/api/v1/stations",
        "/stations/0123456789abcdef",
        "/exemplars/vb-0123456789abcdef/7.png",
        "/pictures/1/256.png",
        "/api/v1/worklist",
        f"/api/v1/studies/{study}",
    ):
        assert http.get(address + path).status_code == 401, path
    answer = http.post(f"{address}/api/v1/findings/1/decisions", json=DECISION)
    assert answer.status_code == 401
    assert http.get(f"{address}/ready").status_code == 200


def test_health_names_each_dependency(client: httpx.Client) -> None:
    """Liveness, readiness and metrics are on the same port."""
    assert client.get("/live").json() == {"status": "live"}
    assert client.get("/ready").json() == {
        "ready": True,
        "dependencies": {"records": "ok", "archive": "ok"},
    }
    client.post("/api/v1/findings/1/decisions", json=DECISION)
    metrics = client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert 'veritag_review_decisions_total{decision="CONFIRMED"}' in metrics.text


def test_without_database_the_pages_say_so(serve: Serve) -> None:
    """Pages answer 503, readiness names the records, liveness stays."""
    address = serve(database_url="postgresql://veritag@127.0.0.1:9/veritag")
    assert http.get(f"{address}/live").status_code == 200
    ready = http.get(f"{address}/ready")
    assert ready.status_code == 503
    assert ready.json()["dependencies"]["records"] == "the database does not answer"
    page = http.get(address)
    assert page.status_code == 503
    assert "Try again soon" in page.text
    assert http.get(f"{address}/api/v1/status").json()["detail"]


def test_a_crash_tells_nothing(day: ReviewTestbed, serve: Serve) -> None:
    """A crash ends in a plain answer without data."""
    address = serve()
    with day.records.begin() as connection:
        connection.exec_driver_sql("UPDATE findings SET code = 'SECRET-VALUE'")
    answer = http.get(address)
    assert answer.status_code == 500
    assert answer.text == "Internal error.\n"


def test_the_log_names_no_study(
    day: ReviewTestbed, serve: Serve, capfd: pytest.CaptureFixture[str], data_dir: Path
) -> None:
    """A request is logged by the template of its path."""
    study = day.studies["CR-CHEST"]
    handlers = logging.getLogger().handlers[:]
    configure_logging(Settings(data_dir=data_dir), "review")
    lines: list[str] = []

    def logged() -> bool:
        output = capfd.readouterr().err.splitlines()
        lines.extend(line for line in output if "request" in line)
        return bool(lines)

    http.get(f"{serve()}/studies/{study}")
    wait_for(logged)
    logging.getLogger().handlers[:] = handlers
    assert json.loads(lines[-1])["route"] == "/studies/{study_instance_uid}"
    assert not any(study in line for line in lines)
