"""Station groups, detectability, and pictures of clusters."""

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from tests.integration.review import http
from tests.integration.review.bundle import install_bundle
from tests.integration.review.conftest import Serve
from tests.integration.review.testbed import (
    MISSING_POSITION,
    WRONG_BODY_PART,
    ReviewTestbed,
)
from veritag.bundles.bundle import load_bundle, starter_bundle_path
from veritag.findings import Finding, FindingCode, Severity


@pytest.fixture
def station_group(testbed: ReviewTestbed, serve: Serve) -> Iterator[httpx.Client]:
    """A client where one station calls five chests HAND, and another one once."""
    for _ in range(5):
        testbed.add("CR-CHEST", WRONG_BODY_PART, instances=1, station_name="DR1")
    testbed.add("CR-CHEST", WRONG_BODY_PART, instances=1, station_name="DR2")
    with http.client(base_url=serve()) as client:
        yield client


def test_the_worklist_shows_a_station_group_once(station_group: httpx.Client) -> None:
    """Five equal findings of a station are one line; that of another is a study."""
    page = station_group.get("/").text
    assert "1 study" in page
    assert page.count("Body Part Examined HAND where the images show CHEST") == 1
    assert "5 of 5" in page
    [group] = station_group.get("/api/v1/stations").json()
    assert (group["flagged"], group["total"], group["worst"]) == (5, 5, "ERROR")
    assert f'href="/stations/{group["group_id"]}"' in page
    assert station_group.get("/api/v1/worklist").json()["total"] == 6
    rest = station_group.get("/api/v1/worklist?grouped=true").json()
    assert (rest["total"], len(rest["groups"])) == (1, 1)


def test_a_group_opens_and_names_its_series(station_group: httpx.Client) -> None:
    """The page of the group links each finding, which links back."""
    [group] = station_group.get("/api/v1/stations").json()
    page = station_group.get(f"/stations/{group['group_id']}").text
    answer = station_group.get(f"/api/v1/stations/{group['group_id']}").json()
    assert len(answer["findings"]) == 5
    for member in answer["findings"]:
        link = f"/studies/{member['study_instance_uid']}"
        assert f'href="{link}#finding-{member["finding_id"]}"' in page
        assert f"/stations/{group['group_id']}" in station_group.get(link).text
    assert station_group.get("/stations/0123456789abcdef").status_code == 404
    assert station_group.get("/stations/nothing").status_code == 422


def test_a_filter_hides_station_groups_that_it_leaves_out(
    station_group: httpx.Client,
) -> None:
    """Filtered by Modality or another code, the worklist lists studies only."""
    words = "where the images show"
    assert words not in station_group.get("/?code=TAG_MISSING").text
    assert words not in station_group.get("/?modality=CR").text
    assert "6 studies" in station_group.get("/?modality=CR").text
    assert words in station_group.get("/?code=TAG_CONTRADICTS_IMAGE").text


def _row(page: str, value: str) -> str:
    """Return the row of a received value as HTML."""
    start = page.index(f'<th scope="row">{value}</th>')
    return page[start : page.index("</tr>", start)]


def test_the_page_tells_what_the_bundle_can_judge(
    testbed: ReviewTestbed, serve: Serve
) -> None:
    """The page lists judged and other values with their cases."""
    bundle_id = install_bundle(testbed.data_dir)
    address = serve()
    assert 'href="/detectability"' in http.get(f"{address}/models").text
    page = http.get(f"{address}/detectability").text
    assert bundle_id in page
    assert "1 of 3 shown, 1 judged by the threshold of the tag, from 307 cases" in page
    shown, never_right, silent = (
        _row(page, name) for name in ("CHEST", "KNEE", "HAND")
    )
    assert "yes</b>" in shown
    assert "95 %" in shown
    assert "as the tag</td>" in never_right
    assert "%" not in never_right
    assert "no</td>" in silent
    whole = page.index("Never right here: judged by the threshold of the tag")
    not_judged = page.index("Not judged", whole)
    assert page.index("CHEST") < whole < page.index("KNEE") < not_judged
    assert not_judged < page.index("HAND")
    answer = http.get(f"{address}/api/v1/detectability").json()
    assert [t["keyword"] for t in answer["tags"]][:2] == [
        "Modality",
        "BodyPartExamined",
    ]
    assert answer["tags"][0]["rows"][0]["precision"] is None


def test_a_tag_without_rows_is_judged_as_a_whole(
    testbed: ReviewTestbed, serve: Serve
) -> None:
    """A tag with a threshold and no rows shows its threshold."""
    install_bundle(testbed.data_dir)
    page = http.get(f"{serve()}/detectability").text
    section = page[page.index('id="tag-ImageOrientationPatient"') :]
    assert "judged from a score of 0.80" in section[: section.index("</section>")]
    assert "no value was tried" not in page


def test_a_bundle_without_table_is_told_by_its_thresholds(serve: Serve) -> None:
    """Without a table by value, the page says that thresholds apply."""
    page = http.get(f"{serve()}/detectability").text
    by_value = bool(load_bundle(starter_bundle_path()).manifest.detectability)
    assert ("This bundle has no table by value" in page) is not by_value


def test_a_bundle_that_cannot_be_read_is_told(
    serve: Serve, testbed: ReviewTestbed
) -> None:
    """Page and API say that the bundle cannot be read."""
    bundles = testbed.data_dir / "bundles"
    bundles.mkdir(parents=True)
    (bundles / "active").write_text("gone")
    address = serve()
    assert "cannot be read" in http.get(f"{address}/detectability").text
    assert http.get(f"{address}/api/v1/detectability").status_code == 503


def test_pictures_of_the_cluster_stand_beside_the_finding(
    testbed: ReviewTestbed, serve: Serve
) -> None:
    """They are from the bundle of the finding; without them nothing is shown."""
    testbed.bundle_id = install_bundle(testbed.data_dir)
    study = testbed.add("CR-CHEST", WRONG_BODY_PART, MISSING_POSITION, instances=1)
    address = serve()
    page = http.get(f"{address}/studies/{study}").text
    link = f"/exemplars/{testbed.bundle_id}/7.png"
    assert page.count(link) == 1
    picture = http.get(address + link)
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")
    for other in ("2.png", "-1.png", "..%2Fmodel.onnx"):
        answer = http.get(f"{address}/exemplars/{testbed.bundle_id}/{other}")
        assert answer.status_code in {404, 422}
    assert http.get(f"{address}/exemplars/vb-0/7.png").status_code == 422


def test_other_sources_are_told_and_rank_equals(
    testbed: ReviewTestbed, serve: Serve
) -> None:
    """The explanation names descriptions, other series and similar images."""
    evidence = {
        "hints": [{"source": "ProtocolName", "value": "CHEST", "instances": 1}],
        "study": [{"value": "CHEST", "series": 2}],
        "neighbors": [{"value": "CHEST", "images": 9}],
        "support": 2,
    }
    supported = replace(WRONG_BODY_PART, evidence=evidence)
    other = replace(WRONG_BODY_PART, tag="Modality", observed="CT", evidence={})
    study = testbed.add("CR-CHEST", other, supported, instances=1)
    page = http.get(f"{serve()}/studies/{study}").text
    assert "Other elements name Protocol Name: CHEST." in page
    assert "Other series of the study: CHEST (2)." in page
    assert "Similar images: CHEST (9)." in page
    first = page.index("Body Part Examined contradicts")
    assert first < page.index("Modality contradicts")


def test_a_series_mixed_by_its_pictures_is_told(
    testbed: ReviewTestbed, serve: Serve
) -> None:
    """It names no tag, but the kinds with their numbers."""
    kinds = [{"value": "CT", "instances": 8}, {"value": "MR", "instances": 4}]
    mixed = Finding(
        FindingCode.MIXED_SERIES,
        Severity.WARNING,
        None,
        None,
        0.97,
        evidence={"kinds": kinds, "instances": 12, "known": 12, "set_apart": 1},
    )
    study = testbed.add("CR-CHEST", mixed, instances=1)
    page = http.get(f"{serve()}/studies/{study}").text
    assert "Series is mixed" in page
    assert "Kinds of pictures: CT (8), MR (4)." in page
    assert "1 set apart as unlike the others." in page
