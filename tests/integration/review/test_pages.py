"""The pages without JavaScript."""

import re
from pathlib import Path

import httpx
import pytest

from tests.integration.review import http
from tests.integration.review.conftest import Serve
from tests.integration.review.testbed import (
    MISSING_POSITION,
    WRONG_BODY_PART,
    ReviewTestbed,
)
from veritag.bundles.bundle import load_bundle, starter_bundle_path
from veritag.records.review.study import study_detail
from veritag.records.states import GateOutcome, RunTrigger
from veritag.records.training.runs import begin_run, fail_run, finish_run, store_gate


def finding_ids(page: str) -> list[int]:
    """Return the findings of a page in their order."""
    return [int(n) for n in re.findall(r'id="finding-(\d+)"', page)]


def decide(
    client: httpx.Client, study: str, number: int, **form: str
) -> httpx.Response:
    """Post the form of a study's finding."""
    return client.post(f"/studies/{study}/findings/{number}/decisions", data=form)


def test_an_empty_worklist_says_how_to_send(serve: Serve) -> None:
    """The first page of a new installation names AE title, port and a command."""
    page = http.get(serve(ae_title="QCHECK", dicom_port=10104)).text
    assert "No image has arrived yet" in page
    assert "storescu -v -aec &#34;QCHECK&#34; +sd +r HOST 10104" in page


def test_an_empty_worklist_says_how_to_send_by_tls(serve: Serve) -> None:
    """Where the plain port is closed the command is that for DICOM TLS."""
    page = http.get(serve(dicom_plain=False, dicom_tls_port=2762)).text
    assert "storescu -v +tls KEY CERTIFICATE +cf CA" in page
    assert "HOST 2762" in page


def test_the_worklist_names_what_is_wrong_in_words(client: httpx.Client) -> None:
    """The gravest study comes first, with severity, code and body part in words."""
    page = client.get("/?severity=INFO").text
    assert "2 studies" in page
    assert page.index("ERROR") < page.index("INFO")
    assert "Tag contradicts the image" in page
    assert "CT-HEAD" not in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("modality=MR&severity=INFO", "1 study"),
        ("code=TAG_MISSING", "1 study"),
        ("state=decided", "0 studies"),
        ("state=all&severity=INFO", "2 studies"),
        ("", "1 study"),
        ("severity=INFO", "2 studies"),
        ("modality=XA", "Nothing matches"),
    ],
)
def test_the_worklist_narrows(client: httpx.Client, query: str, expected: str) -> None:
    """Modality, code, severity and state each narrow the worklist."""
    assert expected in client.get(f"/?{query}").text


@pytest.mark.parametrize("query", ["state=x", "page=0", "page=x", "code=NOPE"])
def test_a_wrong_query_is_refused_in_words(client: httpx.Client, query: str) -> None:
    """The page names the wrong parameter."""
    answer = client.get(f"/?{query}")
    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.text


def test_the_study_page_shows_received_and_expected(
    client: httpx.Client, day: ReviewTestbed
) -> None:
    """Each finding shows both values, probabilities, reason and bundle."""
    page = client.get(f"/studies/{day.studies['CR-CHEST']}").text
    for text in ("HAND", "91 %", "THORAX", "score 0.97", "vb-0123456789abcdef"):
        assert text in page
    assert "Body Part Examined contradicts the image" in page
    assert "Patient Position is missing" in page
    assert page.count("/256.png") == 4


def test_a_series_without_findings_says_so(
    client: httpx.Client, day: ReviewTestbed
) -> None:
    """A clean study has a page too, with up to twelve pictures a series."""
    page = client.get(f"/studies/{day.studies['CT-HEAD']}").text
    assert "No finding." in page
    assert page.count("/256.png") == 12


def test_a_decision_goes_on_to_the_next_finding(
    client: httpx.Client, day: ReviewTestbed
) -> None:
    """A decision leads to the next open finding, the last one to the next study."""
    study = day.studies["CR-CHEST"]
    first, second = finding_ids(client.get(f"/studies/{study}").text)
    answer = decide(client, study, first, decision="CONFIRMED", reviewer="Dr. Ada")
    assert answer.status_code == 303
    assert answer.headers["location"].endswith(f"#finding-{second}")
    answer = decide(client, study, second, decision="DISMISSED", reviewer="Dr. Ada")
    assert answer.headers["location"].endswith("#onward")
    page = client.get(answer.headers["location"]).text
    assert "Every finding of this study is decided" in page
    assert day.studies["MR-KNEE"] in page


def test_the_reviewer_is_remembered(client: httpx.Client, day: ReviewTestbed) -> None:
    """The name is filled in again, with any letters."""
    study = day.studies["CR-CHEST"]
    first = finding_ids(client.get(f"/studies/{study}").text)[0]
    answer = decide(client, study, first, decision="DISMISSED", reviewer="Zoë; Núñez")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "Zoë; Núñez" in client.get(f"/studies/{study}").text


def test_decisions_are_kept_and_the_newest_counts(
    client: httpx.Client, day: ReviewTestbed
) -> None:
    """A second decision supersedes the first; both keep what was shown."""
    study = day.studies["CR-CHEST"]
    first = finding_ids(client.get(f"/studies/{study}").text)[0]
    decide(
        client, study, first, decision="DISMISSED", reviewer="Ada", note="looks right"
    )
    decide(
        client,
        study,
        first,
        decision="CORRECTED",
        corrected_value="chest",
        reviewer="Bob",
    )
    detail = study_detail(day.records, study)
    assert detail is not None
    row = detail.series[0].findings[0]
    assert [(d.decision, d.corrected_value) for d in row.decisions] == [
        ("DISMISSED", None),
        ("CORRECTED", "CHEST"),
    ]
    assert row.decisions[0].shown == {
        "code": "TAG_CONTRADICTS_IMAGE",
        "severity": "ERROR",
        "tag": "BodyPartExamined",
        "observed": "HAND",
        "expected": [
            {"value": e.value, "probability": e.probability}
            for e in WRONG_BODY_PART.expected
        ],
        "score": WRONG_BODY_PART.score,
        "bundle_id": row.bundle_id,
    }
    page = client.get(f"/studies/{study}").text
    assert "(superseded)" in page
    assert "looks right" in page


@pytest.mark.parametrize(
    ("form", "status", "message"),
    [
        ({"decision": "CONFIRMED"}, 422, "enter your name"),
        ({"decision": "MAYBE", "reviewer": "Ada"}, 422, "decision"),
        ({"decision": "CORRECTED", "reviewer": "Ada"}, 422, "needs the right value"),
        (
            {"decision": "CORRECTED", "corrected_value": "HAND", "reviewer": "Ada"},
            422,
            "this is the received value",
        ),
        (
            {"decision": "CORRECTED", "corrected_value": "Brust!", "reviewer": "Ada"},
            422,
            "code string",
        ),
        ({"decision": "CONFIRMED", "reviewer": "A\x07da"}, 422, "control characters"),
        (
            {"decision": "DISMISSED", "reviewer": "Ada", "version": "0"},
            409,
            "since you",
        ),
    ],
)
def test_a_wrong_decision_is_refused_beside_its_form(
    client: httpx.Client,
    day: ReviewTestbed,
    form: dict[str, str],
    status: int,
    message: str,
) -> None:
    """The page shows the reason and the filled-in values; nothing is stored."""
    study = day.studies["CR-CHEST"]
    first = finding_ids(client.get(f"/studies/{study}").text)[0]
    answer = decide(client, study, first, note="typed before", **form)
    assert answer.status_code == status
    assert message in answer.text
    assert "typed before" in answer.text
    assert client.get("/api/v1/decisions").json() == []


def test_a_decision_is_about_what_was_seen(
    client: httpx.Client, day: ReviewTestbed
) -> None:
    """A decision on an older version of the finding is refused."""
    study = day.studies["CR-CHEST"]
    page = client.get(f"/studies/{study}").text
    first = finding_ids(page)[0]
    version = re.findall(r'name="version" value="(\w+)"', page)[0]
    for status in (303, 409):
        answer = decide(
            client,
            study,
            first,
            decision="CONFIRMED",
            reviewer="Ada",
            version=version,
        )
        assert answer.status_code == status


def test_a_withdrawn_finding_takes_no_decision(
    client: httpx.Client, day: ReviewTestbed
) -> None:
    """A withdrawn finding is shown last, without a form."""
    study = day.studies["CR-CHEST"]
    first, second = finding_ids(client.get(f"/studies/{study}").text)
    day.judge_again(study, MISSING_POSITION)
    page = client.get(f"/studies/{study}").text
    assert finding_ids(page) == [second, first]
    assert "Withdrawn" in page
    answer = decide(client, study, first, decision="CONFIRMED", reviewer="Ada")
    assert answer.status_code == 409


def test_dead_letters_are_listed_with_their_reason(client: httpx.Client) -> None:
    """An instance without verdict is shown with reason, sender and SOP Class."""
    page = client.get("/dead-letters").text
    for text in ("cannot be parsed", "SCANNER1", "Secondary Capture Image Storage"):
        assert text in page


def test_the_models_page_tells_what_was_trained_and_why_it_is_not_used(
    testbed: ReviewTestbed, serve: Serve
) -> None:
    """The page shows the bundle in use, and each run with reason and outcome."""
    run_id = begin_run(
        testbed.records, {}, trigger=RunTrigger.TIME, reason="the schedule"
    )
    finish_run(testbed.records, run_id, "vb-challenger", "digest", {})
    gate = {"reasons": ["NMI of clusters and body part is worse"]}
    store_gate(testbed.records, run_id, GateOutcome.KEPT, "vb-champion", gate)
    fail_run(testbed.records, begin_run(testbed.records, {}), "the disk is full <b>")
    address = serve()
    page = http.get(f"{address}/models").text
    starter = load_bundle(starter_bundle_path()).bundle_id
    for text in (
        starter,
        "the schedule",
        "vb-challenger",
        "not promoted, the previous bundle stays",
        "NMI of clusters and body part is worse",
        "the disk is full &lt;b&gt;",
    ):
        assert text in page
    runs = http.get(f"{address}/api/v1/training-runs").json()
    assert [run["status"] for run in runs] == ["failed", "finished"]
    assert runs[1]["gate"] == gate


def test_a_damaged_bundle_in_use_is_said(
    testbed: ReviewTestbed, serve: Serve, data_dir: Path
) -> None:
    """The page says what is wrong with the bundle."""
    (data_dir / "bundles").mkdir(parents=True)
    (data_dir / "bundles/active").write_text("gone\n")
    assert testbed.records is not None
    page = http.get(f"{serve()}/models").text
    assert "which is not in" in page


def test_markup_in_received_values_is_text(
    testbed: ReviewTestbed, serve: Serve
) -> None:
    """A received value never becomes markup."""
    attack = "<script>alert(1)</script>"
    study = testbed.add("CR-CHEST", WRONG_BODY_PART, description=attack)
    address = serve()
    for path in ("/", f"/studies/{study}"):
        page = http.get(address + path).text
        assert attack not in page
        assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    "path", ["/studies/1.2.3.4", "/studies/..%2fetc", "/studies/a%00b", "/nothing"]
)
def test_what_is_not_there_is_an_error_page(client: httpx.Client, path: str) -> None:
    """An unknown or malformed address ends in an error page."""
    answer = client.get(path)
    assert answer.status_code in {404, 422}
    assert "To the worklist" in answer.text
